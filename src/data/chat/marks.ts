/**
 * `{% generation %}` and `{% endgeneration %}`: the tags by which a chat template marks what the assistant writes. The
 * library does not know them, so each becomes a character that no text has, which is taken out again of what is
 * rendered.
 */

/** A part of a text. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

// Of the last private plane, and no characters of any text.
const BEGIN = "\u{10fffe}";
const END = "\u{10ffff}";

/** The template with characters in place of the tags; undefined where it has none. */
export function markGenerations(source: string): string | undefined {
  let isMarked = false;
  const marked = source.replace(/\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}/g, (_, before, end, after) => {
    isMarked = true;
    return `{%${before} if true %}{{ "${end ? END : BEGIN}" }}{% endif ${after}%}`;
  });
  return isMarked ? marked : undefined;
}

/**
 * A rendered text without the characters, and what stood between them. Throws Error where the values that were rendered
 * have such characters of their own.
 */
export function readMarks(rendered: string, values: string): { text: string; spans: Span[] } {
  if (values.includes(BEGIN) || values.includes(END))
    throw new Error("the row has U+10FFFE or U+10FFFF, which are no characters");
  let text = "";
  let from = 0;
  const spans: Span[] = [];
  for (const part of rendered.split(/(\u{10fffe}|\u{10ffff})/u)) {
    if (part === BEGIN) from = text.length;
    else if (part === END) spans.push({ from, to: text.length });
    else text += part;
  }
  return { text, spans };
}
