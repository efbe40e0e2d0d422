/**
 * Models of a run on its way, each a whole checkpoint beside the result, named by its step:
 *
 *   out/                 -> out.step-200/  out.step-400/
 *   out.safetensors      -> out.step-200.safetensors  out.step-400.safetensors
 *
 * The last ones are kept, and the one with the lowest held-out loss. An older one goes by one rename to a hidden name,
 * which is then removed: a run that dies leaves whole checkpoints only.
 */
import fs from "node:fs";
import path from "node:path";
import { UserError } from "../../errors.ts";

interface Named {
  readonly step: number;
  readonly at: string;
}

/** Where a result ends and its checkpoints' names begin. */
function partsOf(out: string): { folder: string; stem: string; ending: string } {
  const bare = out.replace(/[/\\]+$/, "");
  const ending = bare === out ? (/\.(safetensors|gguf)$/.exec(bare)?.[0] ?? "") : "";
  const stem = path.basename(bare).slice(0, ending === "" ? undefined : -ending.length);
  return { folder: path.dirname(bare), stem, ending };
}

export class StepCheckpoints {
  readonly #out: string;
  readonly #keep: number;

  /** Keeps the last `keep` checkpoints of the run whose result is `out`. */
  constructor(out: string, keep: number) {
    this.#out = out;
    this.#keep = keep;
  }

  /** Name of a step's checkpoint. */
  nameOf(step: number): string {
    const { folder, stem, ending } = partsOf(this.#out);
    return path.join(folder, `${stem}.step-${step}${ending}`);
  }

  /** Those that are there, in the order of their steps. */
  list(): Named[] {
    const { folder, stem, ending } = partsOf(this.#out);
    if (!fs.existsSync(folder)) return [];
    const found: Named[] = [];
    for (const name of fs.readdirSync(folder)) {
      if (!name.startsWith(`${stem}.step-`) || !name.endsWith(ending)) continue;
      const text = name.slice(`${stem}.step-`.length, name.length - ending.length);
      if (/^[1-9]\d*$/.test(text)) found.push({ step: Number(text), at: path.join(folder, name) });
    }
    return found.sort((a, b) => a.step - b.step);
  }

  /** Throws UserError where another run has left checkpoints under these names. */
  refuseOthers(): void {
    const [first] = this.list();
    if (first)
      throw new UserError(
        `${first.at} is of an earlier run, and --keep would count it`,
        "remove the checkpoints of that run, or choose another -o",
      );
  }

  /** Removes those up to `step` that are neither among the last nor of the step `best`. */
  prune(step: number, best: number | undefined): void {
    const done = this.list().filter((one) => one.step <= step);
    for (const old of done.slice(0, Math.max(0, done.length - this.#keep))) {
      if (old.step === best) continue;
      const removed = path.join(path.dirname(old.at), `.${path.basename(old.at)}.removed`);
      fs.rmSync(removed, { recursive: true, force: true });
      fs.renameSync(old.at, removed);
      fs.rmSync(removed, { recursive: true, force: true });
    }
  }
}
