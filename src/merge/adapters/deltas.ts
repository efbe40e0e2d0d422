/**
 * Adapters as models of a merge: a checkpoint of the changes that one makes, over a base of zeros. Methods see full
 * matrices, (out, in) for every module, and none of the base's weights.
 */
import type { SharedModule } from "../../checkpoint/adapter/together.ts";
import type { AdapterValue } from "../../checkpoint/adapter/value.ts";
import type { Checkpoint, LowRankPatch, TensorEntry } from "../../checkpoint/checkpoint.ts";

/** The name of a module's change in these checkpoints. */
export const deltaName = (module: string): string => `${module}.weight`;

/** Zeros, which a patch may change. */
function zeros(name: string, shape: readonly [number, number], patch?: LowRankPatch): TensorEntry {
  const plain = { name, dtype: "F32" as const, shape, bytes: 4 * shape[0] * shape[1] };
  const read = async (into: Uint8Array) => void into.fill(0);
  return patch === undefined ? { ...plain, read } : { ...plain, read, patch };
}

const shapeOf = ({ of }: SharedModule): readonly [number, number] => {
  const [, { out, into }] = of[0]!;
  return [out, into];
};

/** The origin of all changes. */
export function noChange(shared: readonly SharedModule[]): Checkpoint {
  const entries = shared.map((one) => [deltaName(one.module), zeros(deltaName(one.module), shapeOf(one))] as const);
  return {
    ...{ ref: "no change", kind: "folder", tensors: new Map(entries), files: new Map(), lineage: [] },
    headerSha256: "",
    close() {},
  };
}

/**
 * The changes of adapter `index`, zero for modules that it leaves alone. Its factors are read now and held in f32, as
 * they are for `base+adapter`.
 */
export async function changesOf(
  { checkpoint }: AdapterValue,
  index: number,
  shared: readonly SharedModule[],
): Promise<Checkpoint> {
  const tensors = new Map<string, TensorEntry>();
  for (const one of shared) {
    const name = deltaName(one.module);
    const own = one.of.find(([adapter]) => adapter === index)?.[1];
    if (own === undefined) tensors.set(name, zeros(name, shapeOf(one)));
    else {
      const { a, b } = await own.read();
      tensors.set(name, zeros(name, shapeOf(one), { a, b, rank: own.rank, scale: own.scale, transposed: false }));
    }
  }
  const { quantized: _, ...rest } = checkpoint;
  return { ...rest, kind: "folder", tensors, files: new Map(), close() {} };
}
