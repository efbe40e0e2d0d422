/** Names in little room. */

/** The text shortened in its middle. */
function shortened(text: string, width: number): string {
  if (text.length <= width) return text;
  const tail = Math.ceil((width - 1) / 2);
  return `${text.slice(0, width - 1 - tail)}…${text.slice(-tail)}`;
}

/** Names in so many columns, each still another. */
export function shortNames(names: readonly string[], width: number): string[] {
  const short = names.map((name) => shortened(name, width));
  const isTwice = (text: string) => short.indexOf(text) !== short.lastIndexOf(text);
  return short.map((text, i) => (isTwice(text) ? `${text.slice(0, width - 3)}…${i + 1}` : text));
}
