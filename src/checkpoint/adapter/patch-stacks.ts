/** Applies adapters of stacked experts (stacked.ts) to a base that holds its experts as stacks, or one by one. */
import { isObject, parseJson } from "../../json.ts";
import type { LowRankPatch, TensorEntry } from "../checkpoint.ts";
import { expertNames } from "../expert-layout.ts";
import { nameInBase, notFound, type View } from "./changes.ts";
import { scaleOf } from "./config.ts";
import { viewEntry } from "./entries.ts";
import { stackPatches } from "./patch.ts";
import { byExpert } from "./stacked.ts";

/** Models whose stacks are (E, in, out). */
const IN_FIRST = /^(gpt_oss|llama4|llama4_text)$/;

function isInFirst({ base }: View): boolean {
  const bytes = base.files.get("config.json");
  const config = bytes && parseJson(new TextDecoder().decode(bytes), `${base.ref}: config.json`).value;
  return isObject(config) && typeof config.model_type === "string" && IN_FIRST.test(config.model_type);
}

/** Rows of every expert's b. (E, out, r) -> (E, to - from, r) */
function someRows(b: Float32Array, out: number, rank: number, from: number, to: number): (e: number) => Float32Array {
  return (e) => b.slice((e * out + from) * rank, (e * out + to) * rank);
}

/** Patches of the adapter's stacks: on a stack of the base, or on each expert where the base has them one by one. */
export function patchStacks(view: View): void {
  const { base, adapter, config, parts, tensors, touched } = view;
  for (const [parameter, factors] of parts.stacks) {
    const where = adapter.ref;
    const known = nameInBase(tensors, parameter);
    const patch = (entry: TensorEntry, change: LowRankPatch) => {
      tensors.set(entry.name, viewEntry(entry, { patch: stackPatches(entry, change, where) }));
      touched.add(entry.name);
    };
    if (known !== undefined) {
      const entry = tensors.get(known)!;
      if (entry.shape.length !== 3) throw notFound(parameter, base, adapter);
      const inFirst = isInFirst(view);
      const [experts = 0, ...sides] = entry.shape;
      const [out = 0, into = 0] = inFirst ? sides.toReversed() : sides;
      const own = byExpert(factors, { experts, out, into, inFirst }, config, { parameter, where });
      patch(entry, { ...own, experts, scale: scaleOf(config, parameter, own.rank), transposed: inFirst });
      continue;
    }
    const { names, experts } = oneByOne(view, parameter);
    const rows = names.map((name) => name(0).shape[0]!);
    const out = rows.reduce((sum, count) => sum + count, 0);
    const into = names[0]!(0).shape[1]!;
    const own = byExpert(factors, { experts, out, into, inFirst: false }, config, { parameter, where });
    const scale = scaleOf(config, parameter, own.rank);
    let from = 0;
    for (const [i, name] of names.entries()) {
      const b = someRows(own.b, out, own.rank, from, from + rows[i]!);
      from += rows[i]!;
      for (let e = 0; e < experts; e++) {
        const a = own.a.slice(e * own.rank * into, (e + 1) * own.rank * into);
        patch(name(e), { a, b: b(e), rank: own.rank, scale, transposed: false });
      }
    }
  }
}

/** The base's own matrices of a stacked parameter, by expert: gate and up, or down. */
function oneByOne(
  { base, adapter, tensors }: View,
  parameter: string,
): { readonly names: ((expert: number) => TensorEntry)[]; readonly experts: number } {
  const [, layer = "", from = "", which] = /^(.+)\.(\w+)\.experts\.(gate_up_proj|down_proj)$/.exec(parameter) ?? [];
  const layout = expertNames(base);
  if (which === undefined || layout === undefined) throw notFound(parameter, base, adapter);
  const at = `${layer}.${layout.module ?? from}.experts`;
  const found = (e: number, part: string) => nameInBase(tensors, `${at}.${e}.${part}.weight`);
  const kinds = which === "down_proj" ? [layout.down] : [layout.gate, layout.up];
  let experts = 0;
  while (kinds.every((part) => found(experts, part) !== undefined)) experts++;
  if (experts === 0) throw notFound(parameter, base, adapter);
  return { names: kinds.map((part) => (e: number) => tensors.get(found(e, part)!)!), experts };
}
