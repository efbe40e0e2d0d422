/** What is said of a model whose outputs are no numbers. */
import { expect, test } from "bun:test";
import { notFinite } from "../../src/run/not-finite.ts";

test("the hint can be typed: the model's name, quoted, and no name of one that this run makes", () => {
  const hint = (ref: string) => notFinite(ref, "rows.jsonl:3").hint;
  expect(hint("a/")).toContain("inspect a/ --check names");
  expect(hint("my models/a")).toContain("inspect 'my models/a' --check names");
  expect(hint("the merged model")).toContain("inspect --check, of each model that it is made of, names");
});
