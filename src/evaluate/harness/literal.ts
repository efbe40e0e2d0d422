/** Lists as Python or JSON write them in a text: `['no', "it's", 3]`. */

/** The list, or undefined where the text is none of texts and numbers. */
export function parseList(text: string): (string | number)[] | undefined {
  const item = /\s*(?:'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|(-?\d+(?:\.\d+)?))\s*(,|\])/sy;
  const trimmed = text.trim();
  if (!trimmed.startsWith("[") || !trimmed.endsWith("]")) return undefined;
  if (/^\[\s*\]$/.test(trimmed)) return [];
  const list: (string | number)[] = [];
  item.lastIndex = 1;
  for (;;) {
    const found = item.exec(trimmed);
    if (!found) return undefined;
    const [, single, double, number, end] = found;
    list.push(number !== undefined ? Number(number) : unescaped(single ?? double!));
    if (end === "]") return item.lastIndex === trimmed.length ? list : undefined;
    if (/^\s*\]$/.test(trimmed.slice(item.lastIndex))) return list;
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f", "\n": "" };

const unescaped = (text: string): string =>
  text.replaceAll(/\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))/gs, (_, u, x, other) =>
    other === undefined
      ? String.fromCharCode(Number.parseInt(u ?? x, 16))
      : (ESCAPES[other] ?? (/['"\\/]/.test(other) ? other : `\\${other}`)),
  );
