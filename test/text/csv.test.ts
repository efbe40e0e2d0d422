import { expect, test } from "bun:test";
import { csv } from "../../src/text/csv.ts";

test("records end in CR LF; fields with a comma, a quote or a line's end are in quotes (RFC 4180)", () => {
  expect(
    csv([
      ["a", "b"],
      ["x,y", 'say "so"'],
      ["two\nlines", "cr\rhere"],
    ]),
  ).toBe('a,b\r\n"x,y","say ""so"""\r\n"two\nlines","cr\rhere"\r\n');
});

test("unknown values are empty fields, numbers are whole", () => {
  expect(csv([[undefined, null, Number.NaN, 0.1 + 0.2, true, ""]])).toBe(",,,0.30000000000000004,true,\r\n");
});
