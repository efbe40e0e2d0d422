/** The state of a run on the disk, where the training scripts have theirs: state-folder.ts says what a kill leaves. */
import path from "node:path";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import { isObject } from "../../json.ts";
import { saveNetworks } from "../../run/small-nets/file.ts";
import type { Numbers } from "../../run/small-nets/kept.ts";
import type { NamedTensor } from "../../run/small-nets/mlp.ts";
import { findState, type Progress, type SavedRun, VERSION } from "../../run/training/found-state.ts";
import { checkSettings, refuseForeign, refuseOverwriting } from "../../run/training/saved-state.ts";
import { removeState, replaceState, stateFolder } from "../../run/training/state-folder.ts";
import { OPTIMIZER } from "../../run/training/state-places.ts";
import type { Place } from "./course.ts";

/** A run between two units of its course. */
export interface Standing {
  /** What comes next. */
  readonly place: Place;
  /** Updates that are done, for people. */
  readonly ticks: number;
  readonly numbers: Numbers;
}

interface Asked {
  readonly options: { readonly save_every: number; readonly resume: boolean; readonly state?: string };
  readonly decisive: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly out: string;
  readonly dryRun: boolean;
}

export class ControlState {
  /** Where it is saved; undefined: nowhere. */
  readonly folder: string | undefined;
  readonly #settings: Progress["settings"];
  readonly #inputs: readonly string[];
  readonly #saved: SavedRun | undefined;

  /** `inputs` tell what was read. Throws UserError for a folder that holds something else, or a run unlike this one. */
  constructor(asked: Asked, inputs: readonly string[]) {
    const { options, decisive, seed } = asked;
    this.folder = stateFolder(asked);
    this.#settings = JSON.parse(JSON.stringify({ ...decisive, seed }));
    this.#inputs = inputs;
    const { folder } = this;
    if (folder === undefined) {
      if (options.resume)
        throw new UserError("--resume has no saved state when the result goes to stdout", "give --state DIR");
      return;
    }
    refuseForeign(folder);
    this.#saved = options.resume ? findState(folder) : undefined;
    if (!this.#saved) {
      refuseOverwriting(folder);
      return;
    }
    checkSettings(this.#saved.progress, this.#settings, folder);
    if (JSON.stringify(this.#saved.progress.inputs) !== JSON.stringify(inputs))
      throw new UserError(
        `${folder} was saved by a run that read other rows or another policy`,
        "put those back, or remove the folder to start again",
      );
  }

  /** Where the saved run stands, if there is one. Throws UserError for a damaged one. */
  async read(): Promise<Standing | undefined> {
    if (!this.#saved) return undefined;
    const { progress, folder } = this.#saved;
    const place = progress.training.states.place;
    if (!isObject(place) || typeof place.stage !== "number" || typeof place.unit !== "number")
      throw new UserError(`${folder} does not say which update comes next`, "remove it, and begin again");
    const opened = await openPlain(path.join(folder, OPTIMIZER));
    try {
      const numbers: Record<string, Float64Array> = {};
      for (const [name, { bytes, read }] of opened.tensors) {
        const values = new Float64Array(bytes / Float64Array.BYTES_PER_ELEMENT);
        await read(new Uint8Array(values.buffer), 0);
        numbers[name] = values;
      }
      return { place: { stage: place.stage, unit: place.unit }, ticks: progress.training.step, numbers };
    } finally {
      opened.close();
    }
  }

  /** Puts this state in the place of the one before; `networks` are what it would give. */
  async write(
    { place, ticks, numbers }: Standing,
    networks: readonly NamedTensor[],
    lineage: readonly LineageEntry[],
  ): Promise<void> {
    const folder = this.folder!;
    const progress: Progress = {
      ...{ version: VERSION, settings: this.#settings, inputs: this.#inputs },
      training: {
        step: ticks,
        order: { made_with: {}, epoch: 0, batch: 0, drawn: [] }, // batches are keyed by the update
        states: { place: { ...place } },
      },
    };
    const tensors = Object.entries(numbers).map(([name, values]) => ({ name, shape: [values.length], values }));
    await replaceState(folder, findState(folder)?.folder, `${JSON.stringify(progress, null, 2)}\n`, async (saving) => {
      await saveNetworks(path.join(saving, "model.safetensors"), networks, lineage);
      await saveNetworks(path.join(saving, OPTIMIZER), tensors, []);
    });
  }

  /** The run is over. */
  end(): void {
    if (this.folder !== undefined) removeState(this.folder);
  }
}
