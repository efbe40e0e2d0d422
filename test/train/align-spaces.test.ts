import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Random } from "../../src/data/random.ts";
import { Mlp } from "../../src/run/small-nets/mlp.ts";
import { type Alignment, align, measure, type Pairs, pairsAt } from "../../src/train/spaces/align.ts";
import { Connector, type ConnectorForm, DIRECTIONS } from "../../src/train/spaces/connector.ts";
import { cosineAndSquares, infoNce, retrieval } from "../../src/train/spaces/losses.ts";
import { runScript } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-spaces-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const normals = (count: number, ...key: (string | number)[]) => {
  const random = new Random("spaces", ...key);
  return Float64Array.from({ length: count }, () => random.normal());
};

/** A rotation, (width, width): normal rows made orthogonal one after the other. */
function rotation(width: number, name: string): Float64Array {
  const made = normals(width * width, name);
  const row = (i: number) => made.subarray(i * width, (i + 1) * width);
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < i; j++) {
      const along = row(i).reduce((sum, x, k) => sum + x * row(j)[k]!, 0);
      for (let k = 0; k < width; k++) row(i)[k]! -= along * row(j)[k]!;
    }
    const length = Math.hypot(...row(i));
    for (let k = 0; k < width; k++) row(i)[k]! /= length;
  }
  return made;
}

/** Two rotations of one latent. */
function turned(count: number, width: number, key: string): Pairs {
  const latent = normals(count * width, key);
  const through = (matrix: Float64Array) =>
    latent.map((_, at) => {
      const [row, i] = [Math.floor(at / width), at % width];
      let sum = 0;
      for (let j = 0; j < width; j++) sum += matrix[i * width + j]! * latent[row * width + j]!;
      return sum;
    });
  const [a, b] = [through(rotation(width, "A")), through(rotation(width, "B"))];
  return { count, widths: { a: width, b: width }, a, b };
}

const FORM: ConnectorForm = { a: 8, b: 8, experts: 4, top: 2, hidden: 0, lr: 1e-2, seed: 1 };
const TRAINING: Alignment = {
  ...{ steps: 300, batch: 32, loss: cosineAndSquares, balance: 0.01, directions: DIRECTIONS, seed: 1 },
};

function trained(form: ConnectorForm, pairs: Pairs, training: Alignment): Connector {
  const connector = new Connector(form);
  let last = Number.NaN;
  for (const { loss } of align(connector, pairs, training)) last = loss;
  expect(last).toBeFinite();
  return connector;
}

test.each([0, 5])("a space onto itself costs nothing while experts are the identity (%p hidden units)", (hidden) => {
  const pairs = turned(20, 8, "same");
  const same = { ...pairs, b: pairs.a };
  const connector = new Connector({ ...FORM, hidden });
  for (const { loss, retrieval: found } of Object.values(measure(connector, same, cosineAndSquares))) {
    expect(Math.abs(loss)).toBeLessThan(1e-12);
    expect(found).toBe(1);
  }
  expect(measure(connector, pairs, cosineAndSquares).a_to_b.loss).toBeGreaterThan(1);
});

/** The most that a gradient is off from differences of `value` by some of the numbers. */
function offBy(numbers: Float64Array, gradient: Float64Array, value: () => number): number {
  let most = 0;
  for (let i = 0; i < numbers.length; i += 3) {
    const held = numbers[i]!;
    const at = (x: number) => {
      numbers[i] = x;
      return value();
    };
    const slope = (at(held + 1e-5) - at(held - 1e-5)) / 2e-5;
    numbers[i] = held;
    most = Math.max(most, Math.abs(slope - gradient[i]!));
  }
  return most;
}

test.each([
  ["cosine", cosineAndSquares],
  ["infonce", infoNce(0.5)],
] as const)("slopes of %s are those of its value", (_, loss) => {
  const [y, target] = [normals(15, "y"), normals(15, "target")];
  expect(offBy(y, loss(y, target, 5).slopes, () => loss(y, target, 5).loss)).toBeLessThan(1e-8);
});

test("gradients of experts and gates are those of differences, between spaces of two widths", () => {
  const connector = new Connector({ ...FORM, a: 3, b: 5, hidden: 4 });
  const [x, target] = [normals(7 * 5, "x"), normals(7 * 3, "target")];
  // Away from the identity, so that hidden units and gates have slopes.
  const value = () => cosineAndSquares(connector.map("b_to_a", x, 7), target, 7).loss;
  const step = () => {
    const sent = connector.send("b_to_a", x, 7);
    return [sent, cosineAndSquares(sent.output, target, 7).slopes] as const;
  };
  for (let i = 0; i < 5; i++) connector.descend(...step(), 0);
  const found = connector.gradients(...step(), 0);
  expect(found.size).toBeGreaterThan(2);
  for (const [net, gradient] of found) expect(offBy(net.weights, gradient, value)).toBeLessThan(1e-7);
});

test("the term of load evens out the choices of both directions together", () => {
  const pairs = turned(64, 8, "load");
  const spread = (balance: number) => {
    const connector = trained(FORM, pairs, { ...TRAINING, steps: 200, balance });
    const counts = DIRECTIONS.map((direction) =>
      connector.send(direction, direction === "a_to_b" ? pairs.a : pairs.b, 64).visits.map(({ rows }) => rows.length),
    );
    const sums = counts[0]!.map((count, e) => count + counts[1]![e]!);
    return Math.max(...sums) - Math.min(...sums);
  };
  expect(spread(1)).toBeLessThan(spread(0));
});

test("turns teach both directions of two rotations, one way teaches one", () => {
  const pairs = turned(400, 8, "pairs");
  const [rows, held] = [
    pairsAt(pairs, [...Array(300).keys()]),
    pairsAt(
      pairs,
      [...Array(100).keys()].map((i) => 300 + i),
    ),
  ];
  const found = (directions: Alignment["directions"], loss = cosineAndSquares) => {
    const { a_to_b, b_to_a } = measure(trained(FORM, rows, { ...TRAINING, directions, loss }), held, loss);
    return [a_to_b.retrieval, b_to_a.retrieval] as const;
  };
  const [both, there, back] = [found(DIRECTIONS), found(["a_to_b"]), found(["b_to_a"])];
  const nce = found(DIRECTIONS, infoNce(0.07));
  for (const value of [...both, there[0], back[1]]) expect(value).toBeGreaterThan(0.95);
  for (const value of nce) expect(value).toBeGreaterThan(0.8);
  for (const value of [there[1], back[0]]) expect(value).toBeLessThan(0.2);
});

test("one expert is a plain matrix, or a perceptron beside the identity", () => {
  const pairs = turned(100, 4, "one");
  const form = { ...FORM, a: 4, b: 4, experts: 1, top: 1 };
  for (const hidden of [0, 3]) {
    const connector = trained({ ...form, hidden }, pairs, { ...TRAINING, steps: 40, directions: ["a_to_b"] });
    const sizes = hidden === 0 ? [4, 4] : [4, hidden, 4];
    const plain = Mlp.fresh(sizes, new Random("plain"));
    plain.fill("experts.0", new Map(connector.tensors().map((tensor) => [tensor.name, tensor])), "the connector");
    const [given, own] = [connector.map("a_to_b", pairs.a, 100), plain.output(pairs.a, 100)];
    for (const [i, value] of given.entries()) expect(value).toBeCloseTo(own[i]! + pairs.a[i]!, 12);
  }
});

test("retrieval counts rows whose nearest target is their own", () => {
  const target = Float64Array.of(1, 0, 0, 1, -1, 0);
  expect(retrieval(Float64Array.of(2, 1, 1, 3, -1, 0.5), target, 3)).toBe(1);
  expect(retrieval(Float64Array.of(2, 1, 3, 1, -1, 0.5), target, 3)).toBe(2 / 3);
});

test("the script learns, goes on, maps rows, and refuses what it cannot", async () => {
  const pairs = turned(60, 3, "script");
  const row = (values: Float64Array, i: number) => [...values.subarray(3 * i, 3 * i + 3)];
  const lines = Array.from({ length: 60 }, (_, i) => JSON.stringify({ a: row(pairs.a, i), b: row(pairs.b, i) }));
  writeFileSync(join(folder, "rows.jsonl"), lines.join("\n"));
  writeFileSync(join(folder, "odd.jsonl"), [lines[0], '{"a": [1, 2], "b": [1, 2, 3]}'].join("\n"));
  writeFileSync(join(folder, "zero.jsonl"), '{"a": [0, 0], "b": [1, 2]}');
  const run = (line: string) => runScript("train", `align-spaces ${line}`.split(" "), folder);
  const options = "--data rows.jsonl --hidden 0 --lr 1e-2 --seed 1 --json";
  const learnt = JSON.parse((await run(`${options} --steps 400 -o c.safetensors`)).text);
  expect(learnt).toMatchObject({ pairs: 60, held: 12, widths: { a: 3, b: 3 } });
  expect(learnt.after.a_to_b.loss).toBeLessThan(0.3 * learnt.before.a_to_b.loss);
  expect(learnt.after.b_to_a.loss).toBeLessThan(0.3 * learnt.before.b_to_a.loss);
  const all = `c.safetensors ${options} --held-share 0 --steps 0 --map m.jsonl -o d.safetensors`;
  const again = JSON.parse((await run(all)).text);
  expect(again.after).toEqual(again.before);
  const mapped = readFileSync(join(folder, "m.jsonl"), "utf8").trim().split("\n");
  const rows = mapped.map((line): Record<string, number[]> => JSON.parse(line));
  expect(rows.map(({ a, b }) => JSON.stringify({ a, b }))).toEqual(lines);
  const column = (name: string) => Float64Array.from(rows.flatMap((one) => one[name]!));
  expect(cosineAndSquares(column("a_to_b"), pairs.b, 60).loss).toBeCloseTo(again.after.a_to_b.loss, 10);
  expect(cosineAndSquares(column("b_to_a"), pairs.a, 60).loss).toBeCloseTo(again.after.b_to_a.loss, 10);
  expect(again.after.a_to_b.loss).toBeLessThan(0.3 * learnt.before.a_to_b.loss);
  for (const [line, message] of [
    ["c.safetensors --data rows.jsonl --hidden 2 -o e.safetensors", "experts.0.0.weight is (3, 3)"],
    ["--data odd.jsonl -o e.safetensors", "odd.jsonl:2: a has 2 numbers and b 3; in the first row 3 and 3"],
    ["--data zero.jsonl -o e.safetensors", "zero.jsonl:1: a vector is 0 throughout"],
    ["--data rows.jsonl --top-k 5 -o e.safetensors", "--top-k 5 is more than 4 experts"],
    ["--data rows.jsonl -o e/", "one file of tensors"],
  ] as const) {
    const refused = await run(line);
    expect(refused.err).toContain(message);
    expect(refused.code).toBe(2);
  }
});
