/** Files that were chosen for the roles of a merge, laid out as folders: what lies beside weights goes with them. */
import { MODEL_FILES } from "../../checkpoint/safetensors/metadata.ts";
import { UserError } from "../../errors.ts";

/** A file as a browser gives it. */
export type ChosenFile = Blob & { readonly name: string };

/** What was chosen for one role: weights, and files beside them. */
export interface Slot {
  /** What messages call it. */
  readonly label: string;
  /** The folder that it gets where names would be taken for each other. */
  readonly folder: string;
  readonly files: readonly ChosenFile[];
}

export interface Placed {
  readonly files: ReadonlyMap<string, Blob>;
  /** Paths of the weights, in the order of the slots. */
  readonly paths: readonly string[];
}

const isBeside = ({ name }: ChosenFile): boolean => MODEL_FILES.includes(name);

function weightsOf({ label, files }: Slot): ChosenFile {
  const [weights, more] = files.filter((file) => !isBeside(file));
  if (!weights)
    throw new UserError(
      files.length === 0 ? `${label}: no file is chosen` : `${label}: ${files[0]!.name} holds no weights`,
      "choose a .safetensors file, if wanted together with the config.json and the tokenizer files beside it",
    );
  if (more)
    throw new UserError(
      `${label}: ${weights.name} and ${more.name} are two files of weights`,
      "choose one; shards of one model are merged by the command line",
    );
  return weights;
}

/**
 * Paths for chosen files: the names alone where these differ and nothing lies beside, else a folder for each slot.
 * Throws UserError for a slot without weights, or with two files of them.
 */
export function placeFiles(slots: readonly Slot[]): Placed {
  const weights = slots.map(weightsOf);
  const apart =
    slots.some(({ files }) => files.length > 1) || new Set(weights.map(({ name }) => name)).size < slots.length;
  const at = (slot: Slot, { name }: ChosenFile) => (apart ? `${slot.folder}/${name}` : name);
  return {
    files: new Map(slots.flatMap((slot) => slot.files.map((file) => [at(slot, file), file] as const))),
    paths: slots.map((slot, i) => at(slot, weights[i]!)),
  };
}
