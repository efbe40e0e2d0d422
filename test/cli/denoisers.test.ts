/**
 * Denoisers on the command line: trained, drawn from, measured, resumed, and refused where another model is asked for.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-denoisers-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (line: string) => {
  const [script, ...argv] = line.split(" ");
  return runScript(script!, [...argv, "-q"], folder);
};
const done = async (line: string) => {
  const { code, text, err } = await run(line);
  if (code !== 0) throw new Error(`${line}: ${err}`);
  return text;
};
const refused = async (line: string) => {
  const { code, err } = await run(line);
  expect(code).toBe(2);
  return err;
};

const write = (name: string, value: unknown) => writeFileSync(join(folder, name), JSON.stringify(value));
const SHAPE = { model_type: "denoiser", input_size: 2, hidden_size: 16, num_hidden_layers: 1 };

beforeAll(async () => {
  const rows = Array.from({ length: 32 }, (_, i) => {
    const angle = (Math.PI / 4) * (i % 8);
    return `${JSON.stringify({ x: [Math.cos(angle), Math.sin(angle)], label: i % 8 })}\n`;
  });
  writeFileSync(join(folder, "ring.jsonl"), rows.join(""));
  write("classes.json", { ...SHAPE, num_labels: 8 });
  write("plain.json", SHAPE);
  write("mlp.json", { model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 8 });
  const more = "--batch-size 8 --lr 1e-2 --schedule constant --save-every 0";
  await done(
    `train --init classes.json --data ring.jsonl --loss denoise --steps 4 --eval-data ring.jsonl ${more} -o d/`,
  );
  await done(`train --init plain.json --data ring.jsonl --loss denoise --steps 1 ${more} -o p/`);
  await done(`train --init mlp.json --data ring.jsonl --steps 1 ${more} -o mlp/`);
});

test("rows that are drawn are rows of train, the same for every size of batch", async () => {
  const rows = (await done("sample vectors d/ --count 10 --steps 3 --each-label")).trim().split("\n");
  expect(rows.map((row) => JSON.parse(row).label)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 1]);
  expect(JSON.parse(rows[0]!).x).toHaveLength(2);
  await done("sample vectors d/ --count 10 --steps 3 --each-label --batch-size 4 -o drawn.jsonl");
  expect(readFileSync(join(folder, "drawn.jsonl"), "utf8").trim().split("\n")).toEqual(rows);
  const other = (await done("sample vectors d/ --count 2 --steps 3 --label 0 --guidance 2")).trim().split("\n");
  expect(JSON.parse(other[0]!)).not.toEqual(JSON.parse(rows[0]!));
  const bare = JSON.parse((await done("sample vectors p/ --count 1 --steps 2 --sampler consistency")).trim());
  expect(Object.keys(bare)).toEqual(["x"]);
});

test("a probe tells how far draws are from rows", async () => {
  const text = await done("evaluate d/ p/ --data ring.jsonl --probe energy-distance --energy-distance-steps 2 --json");
  const { rows } = JSON.parse(text);
  expect(rows.map(({ model, rows: n }: { model: string; rows: number }) => [model, n])).toEqual([
    ["d/", 32],
    ["p/", 32],
  ]);
  for (const row of rows) expect(row.energy_distance).toBeGreaterThan(0);
  expect(rows[0].by_class).toBeNumber();
  expect(rows[1].by_class).toBeUndefined();
});

test("a denoiser is refused where classes are asked for, and other models where denoisers are", async () => {
  expect(await refused("train d/ --data ring.jsonl --steps 1 -o x/")).toContain("--loss ce is no loss of denoisers");
  expect(await refused("train mlp/ --data ring.jsonl --loss denoise --steps 1 -o x/")).toContain(
    "--loss denoise trains denoisers, and mlp/ is a mlp",
  );
  expect(await refused("evaluate d/ --data ring.jsonl --metric accuracy")).toContain("the model is a denoiser");
  expect(await refused("adapt d/ --data ring.jsonl --steps 1 -o x/")).toContain("the model is a denoiser");
  expect(await refused("sample vectors mlp/")).toContain("sample vectors draws from denoisers, and mlp/ is a mlp");
  expect(await refused("evaluate mlp/ --data ring.jsonl --probe energy-distance")).toContain("draws from a denoiser");
  expect(await refused("sample d/ hello")).toContain("d/ is a denoiser");
});

test("classes, widths and options that do not fit are refused", async () => {
  expect(await refused("sample vectors d/ --label 8")).toContain("--label 8: d/ has 8 classes");
  expect(await refused("sample vectors p/ --label 0")).toContain("p/ knows no classes");
  expect(await refused("sample vectors d/ --label 0 --each-label")).toContain("--label and --each-label");
  expect(await refused("sample vectors d/ --guidance 2")).toContain("--guidance draws towards a class");
  writeFileSync(join(folder, "wide.jsonl"), '{"x": [1, 2, 3], "label": 0}\n');
  writeFileSync(join(folder, "ninth.jsonl"), '{"x": [1, 2], "label": 8}\n');
  const train = (file: string) => refused(`train d/ --data ${file} --loss denoise --steps 1 -o x/`);
  expect(await train("wide.jsonl")).toContain("the example is (3); the model takes (2)");
  expect(await train("ninth.jsonl")).toContain("label 8, but the model has 8 classes");
  expect(await refused("train d/ --data ring.jsonl --loss denoise --adversarial --steps 1 -o x/")).toContain(
    "--adversarial is for models that predict",
  );
  write("upside.json", { ...SHAPE, sigma_min: 2, sigma_max: 1 });
  expect(await refused("train --init upside.json --data ring.jsonl --loss denoise --steps 1 -o x/")).toContain(
    "sigma_max must be above sigma_min",
  );
});

test("two denoisers draw together, and drafts are refined; one model twice is that model", async () => {
  const draw = (line: string) => done(`sample vectors ${line} --steps 4 --count 3`);
  const one = await draw("d/ --label 2");
  expect(await draw("d/ --label 2 --coop d/ --coop-label 2")).toBe(one);
  expect(await draw("d/ --label 2 --texture d/ --switch-at 1")).toBe(one);
  expect(await draw("d/ --label 2 --coop p/")).not.toBe(one);
  writeFileSync(join(folder, "drafts.jsonl"), '{"x": [0.25, -0.5], "label": 3}\n{"x": [0.5, 0.125]}\n');
  const refined = async (start: string) =>
    (await done(`sample vectors d/ --draft drafts.jsonl --steps 4${start}`))
      .trim()
      .split("\n")
      .map((row) => JSON.parse(row));
  expect(await refined(" --start-step 0")).toEqual([{ x: [0.25, -0.5], label: 3 }, { x: [0.5, 0.125] }]);
  const [first, second] = await refined("");
  expect([first.label, second.label]).toEqual([3, undefined]);
  expect(Math.abs(first.x[0] - 0.25)).toBeLessThan(0.5);
  const whole = (await draw("d/ --label 3")).split("\n")[0]!;
  expect((await refined(" --start-step 4 --label 3"))[0]).toEqual(JSON.parse(whole));
});

test.each([
  ["sample vectors d/ --texture p/", "--texture p/ has 0 classes, and d/ 8"],
  ["sample vectors d/ --coop mlp/", "--coop mlp/ is no denoiser"],
  ["sample vectors d/ --coop p/ --coop-label 0", "--coop-label 0: p/ has 0 classes"],
  ["sample vectors d/ --coop p/ --texture d/", "--texture and --coop both name a second model"],
  ["sample vectors d/ --switch-at 1", "--switch-at"],
  ["sample vectors d/ --draft ring.jsonl --steps 4 --start-step 5", "--start-step 5: there are 4 steps"],
  ["train d/ --data ring.jsonl --loss denoise --denoise-low 2 --denoise-high 1 --steps 1 -o x/", "is not below"],
])("%s is refused", async (line, why) => {
  expect(await refused(line)).toContain(why);
});
