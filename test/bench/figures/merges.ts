/**
 * Whole merges of generated BF16 checkpoints, as processes, in floors: the time in which all inputs but one are read
 * and that one is copied. Floor and merge take turns; the middle ratio counts. Linux only.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { generate } from "../generate.ts";
import { floor, METHODS, median, mergeCommand, run } from "../whole-merges.ts";
import type { Figure, Part } from "./figure.ts";

export const merges: Part = async (gpu, { quick }) => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-bench-"));
  const out = join(folder, "out");
  const [gigabytes, pairs] = quick ? [0.25, 1] : [1, 4];
  const device = ["--device", gpu.adapter.device || gpu.adapter.type];
  const figures: Figure[] = [];
  try {
    const models = generate(folder, gigabytes, 3);
    for (const name of ["linear", "slerp", "ties"]) {
      const used = models.slice(models.length - METHODS[name]!.inputs);
      const ratios: number[] = [];
      for (let i = -1; i < pairs; i++) {
        const bottom = await floor(used, out, false);
        rmSync(out, { recursive: true, force: true });
        const merge = await run(process.execPath, [...mergeCommand(name, models, out), ...device], false);
        rmSync(out, { recursive: true, force: true });
        if (i >= 0) ratios.push(merge.seconds / bottom.seconds); // the first pair warms the caches
      }
      const value = median(ratios);
      figures.push({ name: `merge ${name}, ${used.length} x ${gigabytes} GB`, value, unit: "floors" });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return figures;
};
