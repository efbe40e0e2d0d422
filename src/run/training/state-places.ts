/**
 * The places in a folder at which states of trainings stand, and those that are whole. What the places are for is in
 * state-folder.ts.
 */
import fs from "node:fs";
import path from "node:path";

export const LAST = "last";
export const SAVING = ".saving";
export const BEFORE = ".before";
export const REMOVED = ".removed";
export const PLACES = [LAST, SAVING, BEFORE] as const;

export const PROGRESS = "training.json";
export const OPTIMIZER = "optimizer.safetensors";
const WEIGHTS = ["model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"];

const isFile = (file: string): boolean => fs.existsSync(file) && fs.statSync(file).isFile();
const has = (folder: string, name: string): boolean => isFile(path.join(folder, name));
export const isState = (folder: string): boolean => has(folder, PROGRESS);

/** Versions before this one removed states file by file, so one that lacks a part was over. */
export const isWhole = (folder: string): boolean =>
  isState(folder) && has(folder, OPTIMIZER) && WEIGHTS.some((name) => has(folder, name));

/** A state that was found: its folder, and the text of its training.json. */
export interface Found {
  readonly at: string;
  readonly file: string;
  readonly text: string;
}

/** All whole states in a folder, in the order of the places. */
export function wholeStates(folder: string): Found[] {
  return PLACES.map((place) => path.join(folder, place))
    .filter(isWhole)
    .map((at) => {
      const file = path.join(at, PROGRESS);
      return { at, file, text: fs.readFileSync(file, "utf8") };
    });
}
