/**
 * Comma-separated values as RFC 4180 defines them: a header, one record a line, and a field in quotes where it holds a
 * quote, a comma or a line's end. An unknown number is an empty field.
 */

const fieldOf = (value: unknown): string => {
  const text = value === undefined || value === null || Number.isNaN(value) ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

/** All records, the header first, each ended by `end`: CR LF as the RFC has it. */
export const csv = (records: readonly (readonly unknown[])[], end = "\r\n"): string =>
  records.map((record) => `${record.map(fieldOf).join(",")}${end}`).join("");
