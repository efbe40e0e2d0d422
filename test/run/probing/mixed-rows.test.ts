import { expect, test } from "bun:test";
import { type Batch, stackExamples } from "../../../src/data/batch.ts";
import { mixedFeatures, outsidePlane } from "../../../src/run/probing/mixed-rows.ts";
import { classMeans } from "../../../src/run/probing/neural-collapse.ts";

/** Three classes, whose rows are corners of a triangle about 1, 1. */
const CORNERS = [0, 1, 2].map((k) => [Math.cos((2 * Math.PI * k) / 3), Math.sin((2 * Math.PI * k) / 3)]);
const batch = stackExamples(
  Array.from({ length: 12 }, (_, i) => ({
    ...{ x: Float32Array.from(CORNERS[i % 3]!, (value) => value + 1), shape: [2], label: i % 3 },
  })),
);

/** A network whose features are its inputs, bent by `bend`. */
const network = (bend: (x: number) => number) => ({
  async read(batches: readonly Batch[]) {
    const x = batches.flatMap((one) => ("x" in one ? [...one.x] : []));
    const labels = batches.flatMap((one) => [...one.labels]);
    return {
      ...{ width: 2, features: Float32Array.from(x, bend), labels: Int32Array.from(labels) },
      logits: new Float32Array(3 * labels.length),
    };
  },
});

const found = async (bend: (x: number) => number) => {
  const view = network(bend);
  const means = classMeans(await view.read([batch]));
  const head = (label: number) => CORNERS[label]!;
  return mixedFeatures(view, [batch], { pairs: 40, seed: 1, head, means });
};

test("a straight network keeps mixtures on the line between means, and those of one class along its head", async () => {
  const straight = await found((x) => x);
  expect(straight.same_class_cosine).toBeCloseTo(1, 5);
  expect(straight.off_the_line).toBeCloseTo(0, 5);
  expect(straight.outside_plane).toBeCloseTo(0, 3); // two head rows span both numbers
});

test("a bent one does not", async () => {
  const bent = await found((x) => x ** 3);
  expect(bent.off_the_line).toBeGreaterThan(0.05);
});

test("what lies outside of a plane is told as a share of the length", () => {
  expect(outsidePlane(Float64Array.of(3, 0, 4), [1, 0, 0], [1, 1, 0])).toBeCloseTo(0.8, 9);
  expect(outsidePlane(Float64Array.of(3, 2, 0), [1, 0, 0], [1, 1, 0])).toBeCloseTo(0, 6);
  expect(outsidePlane(Float64Array.of(0, 2, 0), [1, 0, 0], [2, 0, 0])).toBeCloseTo(1, 9); // a line
});
