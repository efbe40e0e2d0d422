/** The small functions that make text: sizes, times, tables, progress. */
import { expect, test } from "bun:test";
import { describe as describeProgress } from "../../src/cli/progress.ts";
import { humanBytes, humanTime } from "../../src/text/format.ts";
import { table } from "../../src/text/table.ts";

test("sizes have three digits and decimal units", () => {
  const shown = [0, 999, 1000, 1234, 12_345, 999_499, 999_500, 5e9, 1.25e9, 3e18].map(humanBytes);
  expect(shown).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.23 kB",
    "12.3 kB",
    "999 kB",
    "1.00 MB",
    "5.00 GB",
    "1.25 GB",
    "3000 PB",
  ]);
});

test("times change their unit where the next one reads better", () => {
  const shown = [0, 0.42, 12.34, 59.94, 59.96, 200, 3599.4, 7500].map(humanTime);
  expect(shown).toEqual([
    "0.00 s",
    "0.42 s",
    "12.3 s",
    "59.9 s",
    "1 min 00 s",
    "3 min 20 s",
    "59 min 59 s",
    "2 h 05 min",
  ]);
});

test("tables align columns by what a terminal shows and leave nothing at line ends", () => {
  const rows = [
    ["name", "bytes", ""],
    ["größe", "7", "x"],
    ["漢字", "1234", "yz"],
  ];
  expect(table(rows, { align: "lr" })).toBe("name   bytes\ngröße      7  x\n漢字    1234  yz");
  expect(table([])).toBe("");
});

test("progress says share, count, rate and the time left once it can tell", () => {
  expect(describeProgress({ total: 291, unit: "tensors" }, 131, 1)).toBe("45%  131/291 tensors");
  expect(describeProgress({ total: 4e9, unit: "bytes" }, 1e9, 10)).toBe(
    "25%  1.00 GB of 4.00 GB  100 MB/s  30.0 s left",
  );
  expect(describeProgress({ unit: "rows" }, 7, 100)).toBe("7 rows");
});
