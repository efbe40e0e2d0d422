import { expect, test } from "bun:test";
import { formOf } from "../../src/report/form.ts";

test("what is written follows the flag, the ending of the file, or --json", () => {
  const none = { svg: false, png: false, csv: false, md: false, tex: false, json: false, out: "-" };
  expect(formOf(none)).toBe("html");
  expect(formOf({ ...none, json: true })).toBe("json");
  for (const form of ["html", "svg", "png", "csv", "md", "json"] as const)
    expect(formOf({ ...none, out: `a.b/x.${form.toUpperCase()}` })).toBe(form);
  expect(formOf({ ...none, out: "results-0.5" })).toBe("html");
  expect(formOf({ ...none, csv: true, out: "points.txt" })).toBe("csv");
  expect(formOf({ ...none, json: true, out: "page.html" })).toBe("html");
  expect(formOf({ ...none, json: true, out: "summary" })).toBe("json");
  expect(() => formOf({ ...none, svg: true, out: "x.png" })).toThrow(
    "--svg and a file that ends in .png are two results",
  );
  expect(() => formOf({ ...none, csv: true, json: true })).toThrow("--csv and --json are two results");
  expect(() => formOf({ ...none, out: "x.pdf" })).toThrow("report writes no .pdf file, found -o x.pdf");
});
