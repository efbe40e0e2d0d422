/**
 * `merge` that is stopped while it writes: by a full disk, a limit, Ctrl-C or a kill. The target is whole or absent.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomUnits } from "../support/random.ts";
import { DECODER, merge, readTensors, shell, started, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
/** Eight matrices of 6 MB: a result of about 50 MB. */
const LARGE = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`layers.${i}.weight`, [1536, 1024]]));
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-writing-"));
  for (const [i, name] of ["a", "b"].entries()) {
    writeModel(join(folder, name), tensorsOf(DECODER, i + 1));
    // Values do not matter here; one matrix stands for all, which is quicker to make.
    const [made] = tensorsOf({ w: [1536, 1024] }, i + 1);
    const large = Object.entries(LARGE).map(([key, shape]) => ({ ...made!, name: key, shape: [...shape] }));
    writeModel(join(folder, `large-${name}`), large);
  }
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Linux lets most users mount memory as a disk in their own namespace. */
const canMount =
  process.platform === "linux" &&
  Bun.spawnSync(["unshare", "-rm", "mount", "-t", "tmpfs", "none", tmpdir()], { stderr: "ignore" }).exitCode === 0;

const LINE = ["large-a", "large-b", "--method", "linear", "--weight", "1"];
const leftovers = (path = folder): string[] => readdirSync(path).filter((name) => name.startsWith("."));

describe("a disk or a limit that stops the writing", () => {
  test.skipIf(!existsSync("/dev/full"))("a full disk behind stdout: one line, exit code 1", async () => {
    const { code, err } = await shell("$MERGE a b --method karcher -q > /dev/full", folder);
    expect(err).toBe(
      "merge: stdout could not be written: no space is left on the disk\n  hint: free space, or write to another disk\n",
    );
    expect(code).toBe(1);
  });

  test.skipIf(!canMount)(
    "a disk that is too small, or fills up on the way: one line, exit code 1, nothing left",
    async () => {
      mkdirSync(join(folder, "disk"));
      const inside = (size: string, line: string) =>
        shell(`unshare -rm bash -c 'mount -t tmpfs -o size=${size} none disk && { ${line} ls -A disk >&2; }'`, folder);
      const small = await inside("20m", `$MERGE ${LINE.join(" ")} -q -o disk/x.safetensors; echo $?;`);
      expect(small.err).toMatch(
        /^merge: disk\/x\.safetensors needs 0\.050 GB, but its disk has 0\.0\d\d GB free\n {2}hint: free space, or choose another\n$/,
      );
      expect(small.text).toBe("1\n");
      for (const target of ["x.safetensors", "x"]) {
        // Another program takes the space as soon as the first byte is written.
        const fill = 'until find disk -name "*.tmp" | grep -q .; do :; done; fallocate -l 40M disk/other;';
        const run = `$MERGE ${LINE.join(" ")} -q -o disk/${target} & ${fill} wait $!; echo $?; rm disk/other;`;
        const full = await inside("60m", run);
        expect(full.err).toMatch(
          /^merge: disk\/x\S* could not be written: no space is left on the disk\n {2}hint: free space, or write to another disk\n$/,
        );
        expect(full.text).toBe("1\n");
      }
    },
  );

  test("a folder that is not there, or a file in its place: exit code 2, nothing left", async () => {
    const missing = await merge([...LINE, "-o", "nowhere/x.safetensors"], { cwd: folder });
    expect(missing.err).toBe(
      "merge: nowhere: no such folder, so nowhere/x.safetensors cannot be written\n  hint: create it first\n",
    );
    writeFileSync(join(folder, "plain"), "text");
    const plain = await merge([...LINE, "-o", "plain"], { cwd: folder });
    expect(plain.err).toStartWith("merge: plain is a file; expected a folder\n");
    expect([missing.code, plain.code]).toEqual([2, 2]);
    expect(readFileSync(join(folder, "plain"), "utf8")).toBe("text");
  });

  test.skipIf(process.platform === "win32" || process.getuid?.() === 0)(
    "a folder that may not be written: exit code 1",
    async () => {
      const { code, err } = await shell(`mkdir -m 555 shut; $MERGE ${LINE.join(" ")} -q -o shut/x.safetensors`, folder);
      expect(err).toStartWith("merge: shut/x.safetensors may not be written\n");
      expect(code).toBe(1);
    },
  );
});

/** Waits until the output's temporary file is there; gives the time since the start in ms. */
async function untilWriting(child: { exitCode: number | null }, path = folder): Promise<void> {
  while (child.exitCode === null && leftovers(path).length === 0) await Bun.sleep(1);
}

describe.skipIf(process.platform === "win32")("signals", () => {
  test("Ctrl-C ends with 130 and leaves nothing", async () => {
    const child = started([...LINE, "-o", "interrupted.safetensors"], folder);
    await untilWriting(child);
    await Bun.sleep(50);
    child.kill("SIGINT");
    const err = await new Response(child.stderr).text();
    expect(await child.exited).toBe(130);
    expect(err).toContain("merge: interrupted by SIGINT\n");
    expect(leftovers()).toEqual([]);
    expect(existsSync(join(folder, "interrupted.safetensors"))).toBe(false);
  });

  test("Ctrl-C while a folder is written leaves no folder", async () => {
    const child = started([...LINE, "--shards", "2", "-q", "-o", "interrupted-folder"], folder);
    while (child.exitCode === null && !existsSync(join(folder, "interrupted-folder"))) await Bun.sleep(1);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    expect(existsSync(join(folder, "interrupted-folder"))).toBe(false);
  });

  test("killed at any moment it leaves no torn file, and the next run cleans up", async () => {
    const target = join(folder, "killed.safetensors");
    const whole = await merge([...LINE, "-q", "-o", "whole.safetensors"], { cwd: folder });
    expect([whole.code, whole.err]).toEqual([0, ""]);
    const wanted = readFileSync(join(folder, "whole.safetensors"));
    expect(readTensors(wanted).size).toBe(8);
    const unit = randomUnits(11);
    let killed = 0;
    for (let round = 0; round < 8; round++) {
      // Every other round an older, other file has the name: it must survive.
      const before = round % 2 === 0 ? undefined : Buffer.from("an older result");
      rmSync(target, { force: true });
      if (before) writeFileSync(target, before);
      const child = started([...LINE, "-q", "--overwrite", "-o", target], folder);
      await untilWriting(child);
      await Bun.sleep(120 * unit());
      child.kill("SIGKILL");
      await child.exited;
      if (child.signalCode === "SIGKILL") killed++;
      const found = existsSync(target) ? readFileSync(target) : undefined;
      const kept = before ? found?.equals(before) : found === undefined;
      expect([round, kept || found?.equals(wanted)]).toEqual([round, true]);
    }
    expect(killed).toBeGreaterThan(4);
    const last = await merge([...LINE, "-q", "--overwrite", "-o", target], { cwd: folder });
    expect([last.code, last.err]).toEqual([0, ""]);
    expect(readFileSync(target).equals(wanted)).toBe(true);
    expect(leftovers()).toEqual([]);
  }, 120_000);

  test("a folder killed while it is written is no model, and the next run makes it one", async () => {
    for (const wait of [0, 60]) {
      const child = started([...LINE, "--shards", "4", "-q", "--overwrite", "-o", "killed-folder"], folder);
      while (child.exitCode === null && !existsSync(join(folder, "killed-folder"))) await Bun.sleep(1);
      await Bun.sleep(wait);
      child.kill("SIGKILL");
      await child.exited;
      const names = readdirSync(join(folder, "killed-folder"));
      if (names.includes("model.safetensors.index.json")) {
        expect(names.filter((name) => name.endsWith("-of-00004.safetensors"))).toHaveLength(4);
      }
    }
    const last = await merge([...LINE, "--shards", "4", "-q", "--overwrite", "-o", "killed-folder"], { cwd: folder });
    expect([last.code, last.err]).toEqual([0, ""]);
    expect(leftovers(join(folder, "killed-folder"))).toEqual([]);
    expect(readdirSync(join(folder, "killed-folder"))).toHaveLength(6);
  }, 120_000);
});
