/** Lines of at most `width` columns of a terminal, broken at spaces or where `at` matches; no word is broken. */
export function wrap(text: string, width: number, at: string | RegExp = " "): string[] {
  const lines: string[] = [""];
  for (const word of text.split(at)) {
    const last = lines.length - 1;
    if (lines[last] === "") lines[last] = word;
    else if (Bun.stringWidth(lines[last]!) + 1 + Bun.stringWidth(word) <= width) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}
