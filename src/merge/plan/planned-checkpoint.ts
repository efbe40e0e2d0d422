/** A result that is planned and not made, as an input of the plan of a later merge. */
import type { Checkpoint, LineageEntry, TensorInfo } from "../../checkpoint/checkpoint.ts";

interface Planned {
  readonly tensors: readonly TensorInfo[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly lineage: readonly LineageEntry[];
}

/** A checkpoint with everything but its bytes: reading one of its tensors is a fault of the caller. */
export function plannedCheckpoint(ref: string, { tensors, files, lineage }: Planned): Checkpoint {
  const read = () => Promise.reject(new RangeError(`${ref} is only planned`));
  return {
    ref,
    kind: "file",
    tensors: new Map(tensors.map((info) => [info.name, { ...info, read }])),
    files,
    lineage,
    headerSha256: "",
    close: () => {},
  };
}
