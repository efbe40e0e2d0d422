/** `train zo-byte` over a Redis server of the test's own, by processes as a user starts them. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readByteLog } from "../../src/train/zeroth/byte-log.ts";
import { runAlone, runScript, startScript } from "../support/command.ts";
import { normals, randomUnits } from "../support/random.ts";
import { noRedis, noTls, PASSWORD, TestRedis } from "../support/redis.ts";

setDefaultTimeout(120_000); // the machine may be busy

const folder = mkdtempSync(join(tmpdir(), "ingot-cluster-"));
const redis = new TestRedis();
const isLong = process.env.INGOT_TEST_LONG === "1";

writeFileSync(
  join(folder, "net.json"),
  JSON.stringify({ model_type: "mlp", input_size: 5, hidden_sizes: [8], num_labels: 3 }),
);
const rows = Array.from({ length: 60 }, (_, i) => {
  const x = [...normals(i, 5)];
  return `${JSON.stringify({ x, label: x[0]! > 0.3 ? 0 : x[1]! > 0 ? 1 : 2 })}\n`;
});
writeFileSync(join(folder, "rows.jsonl"), rows.join(""));

beforeAll(async () => {
  if (!noRedis) await redis.start();
});
afterAll(async () => {
  await redis.remove();
  rmSync(folder, { recursive: true, force: true });
});

const STEPS = 12;
const LEARN = `zo-byte --init net.json --data rows.jsonl --steps ${STEPS} --samples 4 --batch-size 10 --lr 0.1`;
const over = (run: string, more: string, lag = 5): string[] =>
  `${LEARN} --cluster ${redis.url(run)} --lag ${lag} --wait 30 ${more}`.split(" ");

/** The digest of the weights that one process comes to. */
const alone = async (): Promise<string> => {
  const ran = await runScript("train", `${LEARN} --json --overwrite -o alone/`.split(" "), folder);
  return JSON.parse(ran.text).digest;
};

/** Bytes that the server has received so far. */
async function received(): Promise<number> {
  const client = redis.client();
  await client.connect();
  const info = String(await client.send("INFO", ["stats"]));
  client.close();
  return Number(/total_net_input_bytes:(\d+)/.exec(info)?.[1]);
}

/** Bytes of the tensors of a model, without what is said beside them. */
async function valuesOf(model: string): Promise<string> {
  const bytes = await Bun.file(join(folder, model, "model.safetensors")).bytes();
  const header = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  return Buffer.from(bytes.subarray(8 + header)).toString("hex");
}

/** The bytes of all steps that --codes wrote. */
async function codesOf(file: string): Promise<Uint8Array> {
  return (await readByteLog(join(folder, file))).codes;
}

/** Waits until a process has said so on stderr. */
async function saying({ stderr }: ReturnType<typeof startScript>, words: string): Promise<void> {
  let said = "";
  for await (const piece of stderr) {
    said += new TextDecoder().decode(piece);
    if (said.includes(words)) return;
  }
}

/** Texts of all files below a folder. */
function textsIn(at: string): string {
  if (statSync(at).isFile()) return readFileSync(at, "latin1");
  return readdirSync(at)
    .map((name) => textsIn(join(at, name)))
    .join("\n");
}

test.skipIf(noTls !== undefined)(`over TLS${noTls ? `: skipped, ${noTls}` : ""}`, async () => {
  const secure = new TestRedis({ tls: true });
  try {
    await secure.start();
    const line = `${LEARN} --cluster ${secure.url("sealed")} --lag 5 --wait 30`;
    const trusted = { NODE_EXTRA_CA_CERTS: secure.authority };
    const working = runAlone("train", `${line} --worker --json`.split(" "), folder, trusted);
    const made = await runAlone("train", `${line} --json -o sealed/`.split(" "), folder, trusted);
    const worked = await working;
    expect([made.code, worked.code]).toEqual([0, 0]);
    expect(JSON.parse(made.text).digest).toBe(await alone());
    const strange = await runAlone("train", `${line} -o no/`.split(" "), folder); // knows no authority of that name
    expect(strange.code).toBe(2);
    expect(strange.err).toContain(`the server at rediss://127.0.0.1:${secure.port}/sealed does not let this run in`);
    expect(strange.err).toContain("NODE_EXTRA_CA_CERTS");
    const open = await runAlone("train", line.replace("rediss://", "redis://").concat(" -o no/").split(" "), folder);
    expect([open.code, open.err]).toEqual([2, expect.stringContaining("does not let this run in")]);
    const all = [made, worked, strange, open].map(({ text, err }) => text + err).join("\n");
    expect(all).not.toContain("pass-word");
  } finally {
    await secure.remove();
  }
});

describe.skipIf(noRedis !== undefined)(`train --cluster${noRedis ? `: skipped, ${noRedis}` : ""}`, () => {
  test("workers come to the weights of one process, and the password is in no output, log or lineage", async () => {
    const working = runAlone("train", over("plain", "--worker --log worker.log --json"), folder);
    const made = await runScript("train", over("plain", "--log run.log --json -o out/"), folder);
    const worked = await working;
    expect([made.code, worked.code]).toEqual([0, 0]);
    const told = JSON.parse(made.text);
    expect(told).toMatchObject({ answers: 4 * STEPS, refused: 0, payload: 4 * STEPS, code_bytes: 4 * STEPS });
    expect(told.digest).toBe(await alone());
    expect(JSON.parse(worked.text)).toMatchObject({ tasks: 4 * STEPS, digest: told.digest });
    const all = [made.text, made.err, worked.text, worked.err, textsIn(folder)].join("\n");
    for (const word of [PASSWORD, encodeURIComponent(PASSWORD), "pass-word"]) expect(all).not.toContain(word);
    expect(all).toContain('"cluster":"(secret)"');
    const other = await runScript("train", over("plain", "--seed 5 -o no/"), folder);
    expect(other.err).toContain("has seed 0, and this one 5");
  });

  test("clients of DiLoCo whose rounds a worker does come to the weights of one process", async () => {
    const rounds = `--init net.json --data rows.jsonl --clients 3 --federation diloco --client-state fresh --steps 9 --local-steps 4`;
    const line = `${rounds} --batch-size 5 --lr 1e-2`;
    const shared = `${line} --cluster ${redis.url("diloco")} --lag 5 --wait 30`;
    const working = runAlone("train", `${shared} --worker --json`.split(" "), folder);
    const made = await runScript("train", `${shared} --json -o diloco/`.split(" "), folder);
    expect([made.code, (await working).code]).toEqual([0, 0]);
    expect(JSON.parse(made.text)).toMatchObject({ clients: 3, rounds: 3, answers: 9, refused: 0 });
    await runScript("train", `${line} --overwrite -o apart/`.split(" "), folder);
    expect(await valuesOf("diloco")).toEqual(await valuesOf("apart"));
    const { err } = await runScript("train", `${shared.replace("fresh", "kept")} -o no/`.split(" "), folder);
    expect(err).toContain("add --client-state fresh");
  });

  /** Waits until a run has a checkpoint. */
  async function checkpointed(run: string): Promise<void> {
    const client = redis.client();
    await client.connect();
    while (Number(await client.send("XLEN", [`ingot:${run}:checkpoints`])) === 0) await Bun.sleep(5);
    client.close();
  }

  test("both sides are killed after a checkpoint, go on from it, and come to the weights and bytes of one process", async () => {
    const long = LEARN.replace(`--steps ${STEPS}`, "--steps 60");
    const line = (more: string) =>
      `${long} --cluster ${redis.url("cut")} --lag 1 --wait 30 --cluster-checkpoint 4 ${more}`.split(" ");
    const apart = await runScript("train", `${long} --json --codes apart.codes -o zo-apart/`.split(" "), folder);
    const killed = [line("-o cut/"), line("--worker")].map((one) => startScript("train", one, folder));
    await checkpointed("cut");
    for (const one of killed) one.kill("SIGKILL");
    await Promise.all(killed.map(({ exited }) => exited));
    const working = runAlone("train", line("--worker --json --log cut-worker.log"), folder);
    const made = await runAlone("train", line("--json --log cut.log --codes cut.codes --overwrite -o cut/"), folder);
    const worked = await working;
    expect([made.code, worked.code]).toEqual([0, 0]);
    const { digest } = JSON.parse(apart.text);
    expect(JSON.parse(made.text)).toMatchObject({ digest, code_bytes: 240, refused: 0 });
    expect(JSON.parse(worked.text).digest).toBe(digest);
    for (const log of ["cut.log", "cut-worker.log"])
      expect(textsIn(join(folder, log))).toContain('"event":"checkpoint_loaded"');
    expect(textsIn(join(folder, "cut.log"))).toContain('"event":"checkpoint"');
    expect(await codesOf("cut.codes")).toEqual(await codesOf("apart.codes"));
  });

  test.each(["diloco", "fedhyper"])("%s goes on from checkpoints as if they were its rounds", async (federation) => {
    const run = `cut-${federation}`;
    const line = `--init net.json --data rows.jsonl --clients 3 --client-share 0.7 --federation ${federation} --client-state fresh --steps 44 --local-steps 4 --batch-size 5 --lr 1e-2 --eval-data rows.jsonl --eval-every 8`;
    const over = `${line} --cluster ${redis.url(run)} --lag 1 --wait 30 --cluster-checkpoint 2`;
    const killed = [`${over} -o ${federation}-c/`, `${over} --worker`].map((one) =>
      startScript("train", one.split(" "), folder),
    );
    await checkpointed(run);
    for (const one of killed) one.kill("SIGKILL");
    await Promise.all(killed.map(({ exited }) => exited));
    const working = runAlone("train", `${over} --worker --json`.split(" "), folder);
    const made = await runAlone(
      "train",
      `${over} --json --log c.log --overwrite -o ${federation}-c/`.split(" "),
      folder,
    );
    expect([made.code, (await working).code]).toEqual([0, 0]);
    expect(textsIn(join(folder, "c.log"))).toContain('"event":"checkpoint_loaded"');
    const apart = await runScript("train", `${line} --json -o ${federation}-a/`.split(" "), folder);
    expect(await valuesOf(`${federation}-c`)).toEqual(await valuesOf(`${federation}-a`));
    const [shared, own] = [JSON.parse(made.text), JSON.parse(apart.text)];
    for (const key of ["bytes_up", "held_out_loss", "best_step", "best_loss", "rounds"])
      expect([key, shared[key]]).toEqual([key, own[key]]);
  });

  test("what cannot be is refused before the work, and no refusal repeats the password", async () => {
    const refused = async (line: readonly string[]) => {
      const { code, err, text } = await runScript("train", line, folder);
      expect(code).toBe(2);
      expect(err + text).not.toContain("pass-word");
      return err;
    };
    const wrong = LEARN.split(" ").concat("--cluster", redis.url("plain", "pass-word-2"), "-o", "no/");
    expect(await refused(wrong)).toContain(
      `the server at redis://127.0.0.1:${redis.port}/plain does not let this run in`,
    );
    expect(await refused(over("a:b", "-o no/"))).toContain("a:b is no name of a run");
    const twice = over("plain", `--cluster ${redis.url("other")} -o no/`);
    expect(await refused(twice)).toContain("--cluster: expected one value but found 2");
    expect(await refused([...LEARN.split(" "), "--worker"])).toContain("--worker");
    expect(await refused(over("plain", "--worker --codes x.safetensors"))).toContain("--worker writes nothing");
    const unknown = LEARN.split(" ").concat(`--clustre=${redis.url("x")}`, "-o", "no/");
    expect(await refused(unknown)).toContain("--clustre");
  });

  test.skipIf(!isLong)(
    "1, 2 and 4 workers, of which some are killed and started again: the same bits",
    async () => {
      const digest = await alone();
      for (const count of [1, 2, 4]) {
        const run = `many-${count}`;
        const before = await received();
        const workers = Array.from({ length: count }, () => startScript("train", over(run, "--worker"), folder));
        const made = await runAlone("train", over(run, `--json -o ${run}/`), folder);
        await Promise.all(workers.map(({ exited }) => exited));
        expect(JSON.parse(made.text).digest).toBe(digest);
        const perAnswer = ((await received()) - before) / (4 * STEPS);
        console.log(`${count} workers: ${perAnswer.toFixed(0)} bytes to Redis per sample, of which 1 is the answer`);
      }
      const running = runAlone("train", over("deaths", "--cluster-checkpoint 3 --json -o deaths/", 1), folder);
      for (let life = 0; life < 3; life++) {
        const worker = startScript("train", over("deaths", "--worker", 1), folder);
        await Bun.sleep(life < 2 ? 2500 : 0);
        if (life < 2) worker.kill("SIGKILL");
        await worker.exited;
      }
      expect(JSON.parse((await running).text).digest).toBe(digest);
    },
    300_000,
  );

  test.skipIf(!isLong)(
    "who hands tasks out is killed at random moments, with a checkpoint every round: the same bits",
    async () => {
      const long = LEARN.replace(`--steps ${STEPS}`, "--steps 600");
      const line = (more: string) =>
        `${long} --cluster ${redis.url("often")} --lag 1 --wait 60 --cluster-checkpoint 1 ${more}`.split(" ");
      const apart = await runScript("train", `${long} --json --overwrite -o often-apart/`.split(" "), folder);
      const working = runAlone("train", line("--worker --json"), folder);
      const unit = randomUnits(7);
      for (let life = 0; life < 6; life++) {
        const one = startScript("train", line("--overwrite -o often/"), folder);
        await saying(one, life === 0 ? "began the run" : "took the checkpoint");
        await Bun.sleep(300 + 700 * unit());
        one.kill("SIGKILL");
        await one.exited;
      }
      const made = await runAlone("train", line("--json --overwrite -o often/"), folder);
      const { digest } = JSON.parse(apart.text);
      expect([JSON.parse(made.text).digest, JSON.parse((await working).text).digest]).toEqual([digest, digest]);
      expect(made.err).toContain("took the checkpoint");
      const client = redis.client();
      await client.connect();
      expect(await client.send("KEYS", ["ingot:often:chunk:*"])).toHaveLength(1);
      client.close();
    },
    300_000,
  );

  test.skipIf(!isLong)(
    "DiLoCo with 0, 1 and 2 workers killed at random moments and started again: the same bits",
    async () => {
      const line = `--init net.json --data rows.jsonl --clients 4 --federation diloco --client-state fresh --steps 480 --local-steps 8`;
      const rest = "--batch-size 5 --lr 1e-2";
      await runScript("train", `${line} ${rest} --overwrite -o apart/`.split(" "), folder);
      for (const killed of [0, 1, 2]) {
        const shared = `${line} ${rest} --cluster ${redis.url(`killed-${killed}`)} --lag 2 --wait 60 --cluster-checkpoint 7`;
        const unit = randomUnits(killed);
        const running = runAlone("train", `${shared} --json --overwrite -o killed/`.split(" "), folder);
        const workers = Array.from({ length: 3 }, async (_, i) => {
          const first = startScript("train", `${shared} --worker`.split(" "), folder);
          if (i < killed) {
            const moment = 200 + 2500 * unit();
            await saying(first, "takes part as");
            await Bun.sleep(moment);
            first.kill("SIGKILL");
            await startScript("train", `${shared} --worker`.split(" "), folder).exited;
          }
          await first.exited;
        });
        const { text, err } = await running;
        expect(err).not.toContain("hint");
        const told = JSON.parse(text);
        await Promise.all(workers);
        console.log(`${killed} killed: ${told.dropped} dropped, ${told.repeated} repeated, ${told.bytes_up} bytes`);
        expect(await valuesOf("killed")).toEqual(await valuesOf("apart"));
      }
    },
    300_000,
  );
});
