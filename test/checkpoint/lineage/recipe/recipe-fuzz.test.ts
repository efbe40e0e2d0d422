/** Whatever a recipe file holds, it is read or refused with a UserError. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { orderRecipes } from "../../../../src/checkpoint/lineage/recipe/order-recipes.ts";
import { parseRecipe } from "../../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { UserError } from "../../../../src/errors.ts";

const VALID = `merge_method: ties
name: x
base_model: {model: {path: base}}
parameters: {normalize: true, weight: [{filter: mlp, value: [0, 1]}, {value: 0.5}]}
slices:
- sources: &s
  - {model: a+b, layer_range: [0, 4], parameters: {density: 1e-1}}
- sources: *s
dtype: bfloat16
---
merge_method: linear
models: [{model: x}]
`;

async function survives(text: string): Promise<boolean> {
  try {
    orderRecipes(await parseRecipe(text, "r.yml"));
    return true;
  } catch (error) {
    if (error instanceof UserError && error.message.startsWith("r.yml")) return false;
    throw error;
  }
}

test("mutated recipes", async () => {
  expect(await survives(VALID)).toBe(true);
  const piece = fc.constantFrom(
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "&s ",
    "*s",
    "null",
    "\n",
    "---\n",
    "\t",
    "'",
    "<<: ",
    "__proto__: ",
    "!!js ",
    "é",
    "%",
  );
  const edit = fc.tuple(fc.nat(VALID.length), fc.nat(12), piece);
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
      let text = VALID;
      for (const [at, length, put] of edits) text = text.slice(0, at) + put + text.slice(at + length);
      if (!(await survives(text))) refused++;
    }),
    { numRuns: 1500 },
  );
  expect(refused).toBeGreaterThan(500);
});

test("any YAML value in any place", async () => {
  const places = ["merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "name"];
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...places), fc.jsonValue({ maxDepth: 4 }), async (place, value) => {
      const recipe = { merge_method: "linear", models: [{ model: "a" }], [place]: value };
      await survives(JSON.stringify(recipe));
    }),
    { numRuns: 500 },
  );
});

test("text nested beyond reason", async () => {
  expect(await survives(`models: ${"[".repeat(20_000)}`)).toBe(false);
  expect(await survives(`models: ${"{a: ".repeat(20_000)}`)).toBe(false);
  expect(await survives(`${"- ".repeat(20_000)}x`)).toBe(false);
  expect(
    await survives(`parameters: ${"[".repeat(5_000)}1${"]".repeat(5_000)}\nmerge_method: linear\nmodels: [{model: a}]`),
  ).toBe(false);
});
