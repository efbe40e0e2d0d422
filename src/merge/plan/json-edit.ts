/**
 * Sets one value in the text of a JSON object and leaves every other character alone: parsing and printing a config
 * would turn 10000.0 into 10000, which strict readers take for another type.
 */

const skipSpace = (text: string, at: number): number => {
  let i = at;
  while (/\s/.test(text[i] ?? "")) i++;
  return i;
};

/** The end of the value that starts at `at`. The text is known to be valid. */
function endOfValue(text: string, at: number): number {
  if (text[at] === '"') {
    let i = at + 1;
    while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
    return i + 1;
  }
  if (text[at] !== "{" && text[at] !== "[") {
    let i = at;
    while (i < text.length && !/[\s,}\]]/.test(text[i]!)) i++;
    return i;
  }
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const c = text[i]!;
    if (c === '"') i = endOfValue(text, i) - 1;
    else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return i + 1;
  }
  return text.length;
}

/**
 * `text` with the value under `path` set. A missing last key is added at the end of its object; throws a RangeError
 * when an object on the way is missing. `text` must be a valid JSON object.
 */
export function editJson(text: string, path: readonly string[], value: unknown): string {
  let object = skipSpace(text, 0);
  for (let level = 0; ; level++) {
    const wanted = path[level];
    const last = level === path.length - 1;
    let i = skipSpace(text, object + 1);
    const indent = text.slice(object + 1, i);
    let end = object + 1;
    let found: number | undefined;
    while (text[i] === '"') {
      const keyEnd = endOfValue(text, i);
      const key: unknown = JSON.parse(text.slice(i, keyEnd));
      const at = skipSpace(text, skipSpace(text, keyEnd) + 1);
      end = endOfValue(text, at);
      if (key === wanted) {
        found = at;
        break;
      }
      const comma = skipSpace(text, end);
      i = text[comma] === "," ? skipSpace(text, comma + 1) : comma;
    }
    if (last && found !== undefined) return text.slice(0, found) + JSON.stringify(value) + text.slice(end);
    if (last) {
      const comma = end === object + 1 ? "" : ",";
      return `${text.slice(0, end)}${comma}${indent}${JSON.stringify(wanted)}: ${JSON.stringify(value)}${text.slice(end)}`;
    }
    if (found === undefined || text[found] !== "{")
      throw new RangeError(`no object ${path.slice(0, level + 1).join(".")}`);
    object = found;
  }
}
