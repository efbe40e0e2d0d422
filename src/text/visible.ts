/**
 * Control characters but tab and line ends, among them the one that begins every sequence a terminal obeys, in both its
 * forms (U+001B, U+009B); and what turns the direction of text around, or ends a line where no line ends.
 */
const STEERING = /\r(?!\n)|[^\P{Cc}\t\r\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/**
 * A text as a terminal can be given it, whatever it holds: what would steer the terminal, or make other text look like
 * what it is not, is written as JSON writes it, `\u001b`.
 */
export const visible = (text: string): string =>
  text.replace(STEERING, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
