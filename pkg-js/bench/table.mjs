/** A Markdown table. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const isText = (i) => rows.some((row) => /[a-z]/i.test(row[i]) && !row[i].startsWith('gave up'));
  return [line(head), `|${head.map((_, i) => (isText(i) ? '---' : '---:')).join('|')}|`, ...rows.map(line)].join('\n');
}

export function median(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
