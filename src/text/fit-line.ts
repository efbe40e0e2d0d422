/** A line of progress on a narrow terminal: what matters least is left out first, the figure never. */

/**
 * The first of `heads` (from the longest to the shortest) that fits beside the figure, the figure, and as much of
 * `text` as has room; two spaces between them. Where not even the last head fits, the figure stands alone. Widths are
 * those of a terminal.
 *
 *   fitLine(["45%  9/20 steps", "45%"], { figure: "loss 1.2", text: "9 tokens/s", width: 16 }); // "45%  loss 1.2"
 */
export function fitLine(
  heads: readonly string[],
  {
    figure,
    text,
    width,
  }: { readonly figure?: string | undefined; readonly text?: string | undefined; readonly width: number },
): string {
  const joined = (...parts: (string | undefined)[]) => parts.filter((part) => part).join("  ");
  const fits = (line: string) => Bun.stringWidth(line) <= width;
  const head = heads.find((one) => fits(joined(one, figure)));
  const line = joined(head ?? (figure === undefined ? heads.at(-1) : undefined), figure);
  const whole = joined(line, text);
  if (fits(whole)) return whole;
  const shorter = shortened(text ?? "").find((one) => fits(joined(line, one)));
  return joined(line, shorter);
}

/** Texts from long to short: without the last of several parts, as a number is not cut; a name by its letters. */
function shortened(text: string): string[] {
  const parts = text.split(", ");
  if (parts.length > 1) return parts.map((_, i) => `${parts.slice(0, -1 - i).join(", ")}, …`).slice(0, -1);
  const letters = [...text];
  return letters.map((_, i) => `${letters.slice(0, -1 - i).join("")}…`).slice(0, -1);
}
