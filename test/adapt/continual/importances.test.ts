/** Importances of synaptic intelligence by hand, and Fisher information as EWC takes it in. */
import { expect, test } from "bun:test";
import type { Learner } from "../../../src/adapt/continual/contract.ts";
import { method as ewc } from "../../../src/adapt/methods/continual/ewc.ts";
import { method as si } from "../../../src/adapt/methods/continual/si.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { measureFisher } from "../../../src/run/fisher/fisher.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { streamFor } from "./streams.ts";

const gpu = await sharedGpu();
const kept = (learner: Learner, name: string): Parameter => {
  const found = learner.kept!().find((one) => one.name === name);
  if (!(found instanceof Parameter)) throw new Error(`nothing is kept as ${name}`);
  return found;
};
const read = ({ buffer, size }: Parameter) => gpu.readFloats(buffer, size);

test("Omega is the fall of the loss along each weight over its squared way and the damping", async () => {
  const { stream, stage } = await streamFor([6, 6, 6], bindDefaults(si, { xi: 0.2 }).values);
  const learner = await si.begin(stream);
  const parameters = stream.model.trainable();
  const start = await Promise.all(parameters.map(read));
  const expected = parameters.map(({ size }) => new Float64Array(size));
  const work = await learner.stage!(stage(0));
  expect(work.updates!.map(({ name }) => name)).toEqual(["path"]);
  const paths = parameters.map(({ size }) => new Float64Array(size));
  let now = start;
  for (const step of [1, 2]) {
    const gradients = parameters.map(({ size }, i) => normals(10 * step + i, size));
    for (const [i, { gradient }] of parameters.entries()) gpu.write(gradient, 0, new Uint8Array(gradients[i]!.buffer));
    await work.updates![0]!.before!(step);
    const next = parameters.map(({ size }, i) => now[i]!.map((w, k) => w + 0.1 * normals(100 * step + i, size)[k]!));
    for (const [i, parameter] of parameters.entries()) parameter.write(next[i]!);
    await work.updates![0]!.after!(step);
    for (const [i, path] of paths.entries())
      for (const k of path.keys()) path[k]! -= gradients[i]![k]! * (next[i]![k]! - now[i]![k]!);
    now = next;
  }
  await learner.learned!(stage(0));
  for (const [i, omega] of expected.entries())
    for (const k of omega.keys()) omega[k] = Math.max(paths[i]![k]!, 0) / ((now[i]![k]! - start[i]![k]!) ** 2 + 0.2);
  for (const [i, parameter] of parameters.entries()) {
    const found = await read(kept(learner, `importance of ${parameter.name}`));
    for (const [k, x] of found.entries()) expect(Math.abs(x - expected[i]![k]!)).toBeLessThan(1e-5);
    if (found.length > 20) expect(found.some((x) => x === 0) && found.some((x) => x > 0)).toBe(true);
    expect(await read(kept(learner, `anchor of ${parameter.name}`))).toEqual(now[i]!);
    expect((await read(kept(learner, `path of ${parameter.name}`))).every((x) => x === 0)).toBe(true);
  }
  const second = await learner.stage!(stage(1));
  expect(second.updates!.map(({ name }) => name)).toEqual(["path", "si"]);
  expect((await learner.stage!(stage(2))).updates!.map(({ name }) => name)).toEqual(["si"]);
  learner.free!();
});

test("EWC takes in what earlier tasks say gamma times, and anchors at the latest weights", async () => {
  const { stream, stage } = await streamFor([6, 5, 6], bindDefaults(ewc, { gamma: 0.5 }).values);
  const learner = await ewc.begin(stream);
  const parameters = stream.model.trainable();
  const fisherOf = async (task: number) => {
    const rows = stream.rows.of([task]).map((ref) => stream.rows.batch([[ref]]).batch);
    const found = await measureFisher(stream.model, rows, { labels: "empirical", seed: 0, signal: stream.signal });
    const values = await Promise.all(parameters.map((p) => gpu.readFloats(found.of.get(p)!.buffer, p.size)));
    found.free();
    return values;
  };
  expect((await learner.stage!(stage(0))).updates).toEqual([]);
  const first = await fisherOf(0);
  await learner.learned!(stage(0));
  for (const [i, parameter] of parameters.entries())
    parameter.write((await read(parameter)).map((w) => w + 0.1 * (i + 1)));
  const second = await fisherOf(1);
  await learner.learned!(stage(1));
  for (const [i, parameter] of parameters.entries()) {
    const found = await read(kept(learner, `importance of ${parameter.name}`));
    for (const [k, x] of found.entries())
      expect(Math.abs(x - (0.5 * first[i]![k]! + second[i]![k]!))).toBeLessThan(1e-6 * (1 + x));
    expect(await read(kept(learner, `anchor of ${parameter.name}`))).toEqual(await read(parameter));
  }
  expect((await learner.stage!(stage(2))).updates!.map(({ name }) => name)).toEqual(["ewc"]);
  learner.free!();
});
