/** What a folder may hold besides its weights: stale files are told, and nothing but regular files is opened. */
import { expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import { runScript } from "../support/command.ts";
import { HANG_MS } from "../support/hang.ts";
import { fileOf, inFolder, make, refusal } from "./sample.ts";

const WEIGHTS = fileOf(make({ w: ["F32", [2]] }));
const INDEX = JSON.stringify({ weight_map: { w: "a.safetensors" } });
const fifo = (file: string) => Bun.spawnSync(["mkfifo", file]);

test("a model.safetensors beside an index is read, and the index is told", () =>
  inFolder(async (folder) => {
    fs.writeFileSync(path.join(folder, "model.safetensors"), WEIGHTS);
    fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), INDEX);
    const told: string[] = [];
    (await open(folder, { warn: (message) => told.push(message) })).close();
    expect(told).toEqual([
      `${folder}: model.safetensors is read; model.safetensors.index.json and the files that it names are not`,
    ]);
    fs.rmSync(path.join(folder, "model.safetensors.index.json"));
    (await open(folder, { warn: (message) => told.push(message) })).close();
    expect(told.length).toBe(1);
  }));

test.skipIf(process.platform === "win32")("an index or a config that is a pipe or a device is refused at once", () =>
  inFolder(async (folder) => {
    const index = path.join(folder, "model.safetensors.index.json");
    fifo(index);
    expect((await refusal(() => open(folder))).message).toBe(`${index} is not a regular file`);
    fs.rmSync(index);
    fs.symlinkSync("/dev/zero", index);
    expect((await refusal(() => open(folder))).message).toContain("links out of the folder");
    fs.rmSync(index);
    fs.writeFileSync(path.join(folder, "model.safetensors"), WEIGHTS);
    fifo(path.join(folder, "config.json"));
    expect((await refusal(() => open(folder))).message).toBe(
      `${path.join(folder, "config.json")} is not a regular file`,
    );
  }),
);

test.skipIf(process.platform === "win32")("inspect reads the index of the weights alone, whatever else is there", () =>
  inFolder(async (folder) => {
    fs.writeFileSync(path.join(folder, "a.safetensors"), WEIGHTS);
    fs.writeFileSync(path.join(folder, "model.safetensors.index.json"), INDEX);
    for (const make of [fifo, (file: string) => fs.symlinkSync("/dev/zero", file)]) {
      const second = path.join(folder, "0.safetensors.index.json");
      make(second);
      const started = performance.now();
      const { code, text } = await runScript("inspect", ["."], folder);
      expect([code, text]).toEqual([0, expect.stringContaining("8 B in 1 shard")]);
      expect(performance.now() - started).toBeLessThan(HANG_MS);
      fs.rmSync(second);
    }
  }),
);
