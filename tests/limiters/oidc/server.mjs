// oidc-provider, an OpenID provider that is certified and that nobody here wrote, with what the
// platform has beside: the password grant for access keys, a tenant in each token, the tenant's
// configuration, and an API that takes the tokens. Says its port; ends with its standard input.

import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [lifetime = '3600'] = process.argv.slice(2);
const TENANT = '11e8-tenant';
const KEY = ['key-1', 'key-secret===='];
const calls = { openid: 0, configuration: 0, password: 0, refresh_token: 0, client_credentials: 0, api: 0, version: '' };

const server = createServer((request, response) => answer(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(origin, {
  clients: [
    {
      client_id: 'a:client',
      client_secret: 'client-secret====',
      grant_types: ['client_credentials', 'password', 'refresh_token'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    {
      client_id: 'post-client',
      client_secret: 'post-secret====',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_post',
    },
  ],
  scopes: ['openid', 'offline_access', 'api'],
  ttl: { AccessToken: Number(lifetime), ClientCredentials: Number(lifetime), RefreshToken: 7200, Grant: 7200 },
  rotateRefreshToken: true,
  extraTokenClaims: () => ({ tenantId: TENANT }),
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:api',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'api', audience: 'urn:api', accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
    },
  },
});

provider.registerGrantType('password', async (ctx, next) => {
  const { username, password } = ctx.oidc.params;
  const { AccessToken, Grant, RefreshToken, ResourceServer } = provider;
  if (username !== KEY[0] || password !== KEY[1]) {
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: 'no such access key' };
    return;
  }
  const client = ctx.oidc.client;
  const grant = new Grant({ accountId: username, clientId: client.clientId });
  grant.addResourceScope('urn:api', 'api');
  grant.addOIDCScope('offline_access');
  const shared = { accountId: username, client, grantId: await grant.save(), gty: 'password', scope: 'api offline_access' };
  const access = new AccessToken({ ...shared, scope: 'api' });
  access.resourceServer = new ResourceServer('urn:api', { scope: 'api', audience: 'urn:api', accessTokenFormat: 'jwt', accessTokenTTL: Number(lifetime), jwt: { sign: { alg: 'RS256' } } });
  ctx.oidc.entity('AccessToken', access);
  const refresh = new RefreshToken({ ...shared, resource: 'urn:api', rotations: 0, iiat: Math.floor(Date.now() / 1000) });
  ctx.body = {
    access_token: await access.save(),
    refresh_token: await refresh.save(),
    expires_in: Number(lifetime),
    token_type: 'Bearer',
  };
  await next();
}, ['username', 'password']);

provider.use(async (ctx, next) => {
  await next();
  if (ctx.oidc?.route === 'token' && ctx.status === 200) calls[ctx.oidc.params.grant_type] += 1;
});
provider.on('server_error', (_, error) => console.error(error));

const callback = provider.callback();
const known = new Set();

function answer(request, response) {
  const url = new URL(request.url, origin);
  const json = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  if (url.pathname === '/calls') return json(200, calls);
  if (url.pathname === '/.well-known/cxone-configuration') {
    calls.configuration += 1;
    return url.searchParams.get('tenantId') === TENANT ? json(200, { api_endpoint: origin, area: 'na1' }) : json(404, {});
  }
  if (url.pathname.startsWith('/incontactapi/')) {
    calls.api += 1;
    const token = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? 'e30', 'base64url').toString());
    known.add(token);
    if (!(claims.exp * 1000 > Date.now()) || claims.tenantId !== TENANT) return json(401, {});
    return json(200, { agents: [], tokens: known.size });
  }
  if (url.pathname === '/.well-known/openid-configuration') calls.openid += 1;
  if (url.pathname === '/token') calls.version = request.httpVersion;
  callback(request, response);
}

console.log(server.address().port);
process.stdin.resume().on('end', () => process.exit());
