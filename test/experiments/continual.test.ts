/**
 * The experiments of test/experiments/continual, each with all methods, take minutes and run with INGOT_TEST_LONG=1
 * alone; a small bed runs here.
 */
import { expect, test } from "bun:test";
import { type Bed, bedFigures, runBed } from "./continual-bed.ts";
import { testFamily } from "./tested.ts";

await testFamily("continual");

const SMALL: Bed = {
  stream: () => "glyphs --canvas 9 --shift 0 --noise 0.1 --stream pixels=1,2,3 --size 200 --test-size 60",
  config: { model_type: "mlp", input_size: 81, hidden_sizes: [32], num_labels: 10 },
  line: "--epochs 4 --batch-size 20 --lr 1e-2",
  score: "accuracy",
};

test("a small bed: joint training forgets nothing, replay less than training in a row", async () => {
  const runs = await runBed(SMALL, 1, ["seq", "joint", "er"]);
  const figures = bedFigures(runs, "accuracy");
  expect(figures["joint: average"]).toBeGreaterThan(figures["seq: average"]!);
  expect(figures["er beside seq: average"]).toBeGreaterThan(0);
  expect(figures["er: forgetting"]).toBeLessThan(figures["seq: forgetting"]!);
  expect(figures["seq: time / seq"]).toBe(1);
  expect(figures).not.toContainKey("joint: forgetting");
}, 120_000);
