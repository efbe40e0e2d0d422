/** A curve in one line of text. */

const BLOCKS = [..."▁▂▃▄▅▆▇█"];
const LETTERS = [..."_.-=*#"];

/**
 * As many letters as `width`, or as values where these are fewer: each the mean of its stretch of values, between the
 * least and the most. Values that are no numbers are left out of the means; a stretch of nothing else is a space.
 */
export function sparkline(values: readonly number[], width: number, ascii = false): string {
  const marks = ascii ? LETTERS : BLOCKS;
  const count = Math.min(width, values.length);
  const means = Array.from({ length: count }, (_, i) => {
    const [from, to] = [Math.floor((i * values.length) / count), Math.floor(((i + 1) * values.length) / count)];
    const known = values.slice(from, to).filter(Number.isFinite);
    return known.length > 0 ? known.reduce((a, b) => a + b, 0) / known.length : Number.NaN;
  });
  const finite = means.filter(Number.isFinite);
  const [least, most] = [Math.min(...finite), Math.max(...finite)];
  return means
    .map((mean) => {
      if (!Number.isFinite(mean)) return " ";
      const place = most > least ? (mean - least) / (most - least) : 0;
      return marks[Math.min(marks.length - 1, Math.floor(place * marks.length))]!;
    })
    .join("");
}
