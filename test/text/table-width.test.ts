/** Tables of bounded width. */
import { expect, test } from "bun:test";
import { table } from "../../src/text/table.ts";

test("a first cell that leaves no room for the others has a line of its own", () => {
  const rows = [
    ["name", "a", "b"],
    ["short", "1", "22"],
    ["a name of many letters", "3", "4"],
  ];
  expect(table(rows, { align: "lrr", width: 16 })).toBe(
    ["name   a   b", "short  1  22", "a name of many letters", "       3   4"].join("\n"),
  );
  expect(table(rows, { align: "lrr" }).split("\n")[0]).toBe("name                    a   b");
});
