/**
 * Growing self-activated ranks: each task brings new ranks to one MoRA adapter, the ranks of earlier tasks stay as they
 * are, and every input calls those that know it.
 *
 * Lu et al., 2025, https://arxiv.org/abs/2506.21035. The adapter's rank is divided between the tasks: of R ranks, each
 * of T tasks has R / T, the last one also what is left. Ranks of tasks to come are not there yet (their tag is 0), so
 * that they take no share. With `prune`, a task's ranks that count for a smaller share of its tokens are dropped after
 * it.
 */
import { UserError } from "../../../errors.ts";
import type { Json } from "../../../json.ts";
import type { Model } from "../../../model/model.ts";
import { UnitScales } from "../../../run/training/rules/unit-scales.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { continualMethod } from "../../continual/contract.ts";
import { rankActivity } from "../../continual/rank-activity.ts";
import { onlyPart, partOf } from "../../continual/rank-parts.ts";

/** A (R, in), B (out, R) and the tags (R) of one layer. */
interface Layer {
  readonly module: string;
  readonly a: Parameter;
  readonly b: Parameter;
  readonly tag: Parameter;
}

const PART = /^base_model\.model\.(.+)\.mora_(A|B|tag)$/;

/** The layers of the adapter, and how it chooses ranks. Throws UserError for what is no MoRA adapter alone. */
function layersOf(model: Model, tasks: number) {
  const hint = `train such an adapter: --adapter mora --adapter-rank ${Math.max(16, 4 * tasks)}`;
  const found = new Map<string, Map<string, Parameter>>();
  for (const parameter of model.adapter?.tensors() ?? []) {
    const [, module, part] = PART.exec(parameter.name) ?? [];
    if (module === undefined)
      throw new UserError(
        `mora gives each task ranks of a MoRA adapter, and ${parameter.name} is no part of one`,
        hint,
      );
    found.set(module, (found.get(module) ?? new Map()).set(part!, parameter));
  }
  if (found.size === 0) throw new UserError("mora gives each task ranks of a MoRA adapter, and none is trained", hint);
  const layers = [...found].map(
    ([module, parts]): Layer => ({ module, a: parts.get("A")!, b: parts.get("B")!, tag: parts.get("tag")! }),
  );
  const rank = layers[0]!.tag.size;
  if (rank < tasks) throw new UserError(`mora: a rank of ${rank} has no part for each of ${tasks} tasks`, hint);
  const json = JSON.parse(model.adapter!.config) as Readonly<Record<string, number | null>>;
  const choice = {
    active: json.mora_active ?? Math.ceil(rank / 2),
    temperature: json.mora_temperature!,
    threshold: json.mora_threshold!,
  };
  return { layers, rank, choice };
}

export const method = continualMethod({
  name: "mora",
  title: "MoRA",
  about: "new ranks of a MoRA adapter for each task, beside those of earlier tasks, which stay; inputs call their own",
  cite: "arXiv:2506.21035",
  options: {
    prune: {
      type: "0 <= number < 1",
      default: 0,
      help: "drop ranks of a task that count for a smaller share of its tokens",
    },
  },
  begin(stream) {
    const { gpu, model, tasks, rows, values, seed, dry, resumed } = stream;
    const { layers, rank, choice } = layersOf(model, tasks.length);
    // Of each layer; they follow from the parts and from what was dropped.
    const tags = new Map(layers.map(({ module }) => [module, new Float32Array(rank)]));
    const write = () => {
      if (!dry) for (const { module, tag } of layers) tag.write(tags.get(module)!);
    };
    if (!resumed) write();
    return {
      stage({ index }) {
        const part = partOf(index, tasks.length, rank);
        for (const own of tags.values()) own.fill(index + 1, part.first, part.end);
        write();
        const factors = onlyPart(part, rank);
        const scales = layers.flatMap(({ a, b }) => [
          { parameter: a, along: "row" as const, factors },
          { parameter: b, along: "column" as const, factors },
        ]);
        return { updates: [new UnitScales(gpu, scales, { name: "parts", apply: "update", seed })] };
      },
      async learned({ index, name, tasks: learnt }) {
        if (values.prune === 0 || dry) return;
        const shares = await rankActivity(stream, rows.of(learnt), layers, choice);
        const part = partOf(index, tasks.length, rank);
        let dropped = 0;
        for (const [module, own] of tags)
          for (let i = part.first; i < part.end; i++)
            if (shares.get(module)![i]! < values.prune) {
              own[i] = 0;
              dropped++;
            }
        write();
        const all = layers.length * (part.end - part.first);
        stream.info(`${name}: ${dropped} of ${all} ranks are dropped, which count for few of its tokens`);
      },
      state: (): Json => Object.fromEntries([...tags].map(([module, own]) => [module, [...own]])),
      load(state) {
        for (const [module, own] of Object.entries(state as Readonly<Record<string, number[]>>))
          tags.get(module)?.set(own);
      },
    };
  },
});
