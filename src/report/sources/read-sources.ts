/** What `report` is given: logs, what `evaluate` and `sample` wrote, folders of sweeps, and checkpoints. */
import fs from "node:fs";
import path from "node:path";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import { repeated } from "../../text/repeated.ts";
import { readRuns } from "../read.ts";
import type { Run } from "../run.ts";
import { sweepRuns, trialFiles } from "./sweep-trials.ts";

/** A checkpoint and the steps that made it, oldest first. */
export interface Ancestry {
  readonly ref: string;
  readonly lineage: readonly LineageEntry[];
}

export interface Sources {
  readonly runs: readonly Run[];
  readonly ancestries: readonly Ancestry[];
}

const CHECKPOINT = /^hf:|\.(safetensors|gguf|bin|pt|pth)$|\.index\.json$/i;

/** Reads all; "-" is a log on stdin. Throws UserError for what is missing, is none of these, or is named twice. */
export async function readSources(args: readonly string[]): Promise<Sources> {
  const twice = repeated(args, (arg) => path.resolve(arg));
  if (twice !== undefined) throw new UserError(`the log ${twice} is named twice`, "name each log once");
  const runs: Run[] = [];
  const ancestries: Ancestry[] = [];
  for (const arg of args) {
    const isFolder = arg !== "-" && fs.statSync(arg, { throwIfNoEntry: false })?.isDirectory() === true;
    if (isFolder && trialFiles(arg).length > 0) runs.push(...sweepRuns(arg));
    else if (isFolder || CHECKPOINT.test(arg)) ancestries.push(await ancestryOf(arg));
    else runs.push(...readRuns(arg));
  }
  return { runs, ancestries };
}

async function ancestryOf(ref: string): Promise<Ancestry> {
  const checkpoint = await openPlain(ref);
  checkpoint.close();
  return { ref, lineage: checkpoint.lineage };
}
