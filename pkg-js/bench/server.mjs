// Answers every request at once with the same small JSON. It reads no more of HTTP than the ends
// of requests without a body, so that it is never what is measured. Its port goes to the parent.

import { createServer } from 'node:net';

const body = JSON.stringify({ id: 4711, state: 'Completed', channel: 'voice', agent: { id: 17, name: 'Ada' }, tags: ['a', 'b'] });
const answer = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: ${new Date().toUTCString()}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
);
const END = '\r\n\r\n';

const server = createServer({ noDelay: true }, (socket) => {
  let rest = '';
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    rest += chunk.latin1Slice();
    for (let end = rest.indexOf(END); end >= 0; end = rest.indexOf(END)) {
      rest = rest.slice(end + END.length);
      socket.write(answer);
    }
  });
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
process.on('disconnect', () => process.exit());
