/** Runs of `align control` that end somewhere and go on from what was kept: bit for bit as if they had not. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ControlMethod, Training } from "../../../src/align/control/contract.ts";
import { BEGINNING, follow, type Place } from "../../../src/align/control/course.ts";
import { returnsOf } from "../../../src/align/control/evaluating.ts";
import { Networks } from "../../../src/align/control/networks.ts";
import { method as awr } from "../../../src/align/methods/control/awr.ts";
import { method as uniO4 } from "../../../src/align/methods/control/uni-o4.ts";
import { saveNetworks } from "../../../src/run/small-nets/file.ts";
import type { Numbers } from "../../../src/run/small-nets/kept.ts";
import { bed, begun, learn, weightsOf } from "./support.ts";

const FEW = { steps: 12, batch_size: 8, hidden: [6] };
const ADAPTIVE = { replay_ratio: "adaptive", replay_every: 1, replay_delta: 0.5, replay_low: 0.4 };

const CARE = { layer_norm: true, decay_to_init: 0.01, reset_every: 5, reset_layers: 2, augment: 0.1 };

const RUNS: [string, string, ControlMethod, Record<string, unknown>, Partial<Training>?][] = [
  ["awr", "pointmass", awr, { online: 60, ...ADAPTIVE }],
  ["awr whose networks are kept plastic", "gridworld", awr, { online: 30 }, CARE],
  ["a family", "gridworld", awr, { online: 40, family: true, replay_ratio: "0.7" }],
  ["uni-o4", "gridworld", uniO4, { members: 2, offline: 12, gate_every: 4, online: 90, rollout: 30 }],
];

test.each(RUNS)("%s goes on from any unit of its course", async (_, world, method, given, care = {}) => {
  const training = { ...FEW, ...care };
  const own = await bed(world, 120, world === "gridworld" ? { side: 3 } : {});
  const kept: { place: Place; numbers: Numbers }[] = [];
  const { learning: whole } = begun(method, own, given, training);
  await follow(whole, BEGINNING, async (place) => void kept.push({ place, numbers: whole.state() }));
  const wanted = { ...whole.learnt().told, tensors: whole.networks() };
  for (const at of [3, Math.floor(kept.length / 2), kept.length - 2]) {
    const { learning: other } = begun(method, own, given, training);
    other.load(kept[at]!.numbers);
    await follow(other, kept[at]!.place, async () => {});
    expect({ ...other.learnt().told, tensors: other.networks() }).toEqual(wanted);
  }
  const { learning: anew } = begun(method, own, given, training);
  await follow(anew, kept[3]!.place, async () => {}); // without what was kept
  expect(anew.networks()).not.toEqual(whole.networks());
  expect(() => begun(method, own, given, { ...training, hidden: [5] }).learning.load(kept[3]!.numbers)).toThrow(
    /the saved state has \d+ values of/,
  );
});

test("networks in a file are those that were saved, and a run begins with them", async () => {
  const own = await bed("gridworld", 300, { side: 3 });
  const folder = mkdtempSync(join(tmpdir(), "ingot-networks-"));
  const read = async (method: ControlMethod, given: Record<string, unknown>) => {
    const learnt = await learn(method, own, given, FEW);
    const file = join(folder, `${weightsOf(learnt, "policy").length}.safetensors`);
    await saveNetworks(file, learnt.tensors, []);
    return { learnt, from: await Networks.read(file) };
  };
  const { learnt, from } = await read(awr, { beta: 2 });
  const still = await learn(awr, own, { beta: 2 }, { ...FEW, steps: 0 }, from);
  expect(still.tensors).toEqual(learnt.tensors);
  expect(returnsOf(own.world, still.actor, 20, 1)).toEqual(returnsOf(own.world, learnt.actor, 20, 1));
  const gated = { members: 1, offline: 0 };
  const taken = await learn(uniO4, own, gated, { ...FEW, steps: 0 }, from);
  expect(taken.tensors).toEqual(learnt.tensors);
  const online = await learn(uniO4, own, { ...gated, online: 60, rollout: 30 }, { ...FEW, steps: 0 }, from);
  expect(weightsOf(online, "policy")).not.toEqual(weightsOf(learnt, "policy"));
  expect(() => begun(awr, own, {}, { ...FEW, hidden: [7] }, from)).toThrow(
    /policy\.0\.weight is \(6, 9\), and \(7, 9\) here/,
  );
  expect(() => begun(awr, own, {}, { ...FEW, layer_norm: true }, from)).toThrow(/policy\.0\.gain is missing/);
  expect(() => begun(awr, own, { family: true }, FEW, from)).toThrow(/holds one policy, and no family/);

  const family = await read(awr, { family: true });
  const same = await learn(awr, own, { family: true }, { ...FEW, steps: 0 }, family.from);
  expect(same.tensors).toEqual(family.learnt.tensors);
  expect(() => begun(uniO4, own, gated, FEW, family.from)).toThrow(/holds a family of policies/);
  rmSync(folder, { recursive: true });
});
