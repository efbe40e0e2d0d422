/** Every method of the unlearn script, on a tiny model that knows its rows half by heart, and on a classifier. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { loadMethods } from "../../src/method/registry.ts";
import { isForClassifiers } from "../../src/unlearn/forget-data.ts";
import { ROWS, Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make(20);
await shop.classifier();
afterAll(() => shop.close());
const { at, measure, steps, unlearn } = shop;

// Those that read what another command made of the rows, twins of rows, noise or no rows, have tests of their own.
const methods = (await loadMethods("unlearn")).filter((method) =>
  method.kind === "edit"
    ? method.edit
    : method.kind === "objective" && !method.wanted && !method.twins && !method.noise,
);

test.each(methods.map(({ name, kind }) => [name, kind] as const))(
  "%s makes the rows to forget less likely",
  async (name, kind) => {
    const trains = kind === "edit" ? "" : ` --steps 12 --lr 0.01 --forget-weight 2 --log ${name}.log`;
    const { err, code } = await unlearn(`base --method ${name} ${ROWS}${trains} -o ${name}/`);
    for (const line of err.split("\n"))
      expect(line).toMatch(/^$|has no retain term here: --retain is not used|selects .* % of the weights/);
    expect(code).toBe(0);
    const loss = await measure(["base", name], "loss");
    expect(loss(name, "forget")).toBeGreaterThan(loss("base", "forget") + 0.5);
    if (kind === "edit") return;
    const heard = steps(`${name}.log`);
    expect(heard).toHaveLength(12);
    for (const { loss, forget_loss } of heard) expect(Number.isFinite(loss! + forget_loss!)).toBe(true);
    expect(existsSync(at(`${name}-state`))).toBe(false);
  },
);

test.each(methods.filter(isForClassifiers).map(({ name, kind }) => [name, kind] as const))(
  "%s forgets a class of a classifier and keeps the others",
  async (name, kind) => {
    const trains = "--steps 40 --lr 0.005 --batch-size 10 --forget-weight 1 --retain-weight 1 ";
    const rows = "--forget zero.jsonl --retain others.jsonl -q";
    const { err, code } = await unlearn(`mlp --method ${name} ${kind === "edit" ? "" : trains}${rows} -o mlp-${name}/`);
    expect(code).toBe(0);
    for (const line of err.split("\n")) expect(line).toMatch(/^$|selects .* % of the weights/);
    const accuracy = await measure([`mlp-${name}`], "accuracy", "--data forget=zero.jsonl --data retain=others.jsonl");
    expect(accuracy(`mlp-${name}`, "forget")).toBeLessThan(0.85);
    expect(accuracy(`mlp-${name}`, "retain")).toBeGreaterThan(0.9);
  },
);
