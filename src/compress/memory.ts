/** What a run will take, planned on a device that computes nothing. */
import type { Batch } from "../data/batch.ts";
import type { Model } from "../model/model.ts";
import { BlockPasses } from "../run/calibrating/block-passes.ts";
import { hostMemory } from "../run/host-memory.ts";
import type { Target } from "./matrices.ts";

/** Matrices like H and like W that methods hold at once, beside those that they are given. */
const [LIKE_H, LIKE_W] = [4, 3];
/** Columns of H, and of W, that they hold beside them: blocks of a factor, errors of a block of columns. */
const [BLOCK_H, BLOCK_W] = [128, 128];

export interface Memory {
  /** Bytes on the GPU. */
  readonly gpu: number;
  /** Bytes on the host. */
  readonly host: number;
}

/**
 * The most that a block takes. `model` lies on a device that computes nothing; so many blocks as there are look alike,
 * and the first of them with targets stands for all.
 */
export async function planMemory(
  model: Model,
  targets: readonly Target[],
  batches: readonly Batch[],
  signal: AbortSignal,
): Promise<Memory> {
  const { gpu } = model;
  const block = Math.min(...targets.map((target) => target.block));
  const own = targets.filter((target) => target.block === block);
  const largest = batches.reduce<Batch | undefined>(
    (most, batch) => (most && most.rows * most.length >= batch.rows * batch.length ? most : batch),
    undefined,
  );
  const modules = new Set(
    own.flatMap(({ stored: { parameter } }) => [parameter.name, parameter.name.replace(/\.weight$/, "")]),
  );
  using inputs = largest && (await new BlockPasses(model, [largest], signal).measure((module) => modules.has(module)));
  const widest = Math.max(...own.map(({ columns }) => columns));
  const values = Math.max(...own.map(({ rows, columns }) => rows * columns));
  const tallest = Math.max(...own.map(({ rows }) => rows));
  const likeH = inputs ? (LIKE_H + 1) * widest ** 2 + BLOCK_H * widest : 0;
  using _work = gpu.buffer(4 * (likeH + (LIKE_W + 1) * values + BLOCK_W * tallest), "work of a layer");
  const blockValues = own.reduce((sum, { rows, columns, parts }) => sum + rows * columns * parts, 0);
  const states = BlockPasses.hostBytes(batches, model.sizes.width);
  return { gpu: gpu.pool.peak, host: hostMemory(gpu, values, "loads", 2 * states + 12 * blockValues) };
}
