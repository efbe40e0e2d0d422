/** Scripts whose result goes to the Hub, as processes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { serveUploads } from "../checkpoint/hub/upload-fixture.ts";
import { runShell } from "../support/command.ts";
import { trainLab } from "./train-lab.ts";

const { folder, at } = trainLab();
const hub = serveUploads();
const kept = { ...process.env };
beforeAll(() => {
  Object.assign(process.env, {
    ...{ HF_ENDPOINT: hub.endpoint, HF_TOKEN: "secret", HF_HOME: at("home"), INGOT_CACHE: at("cache") },
    HF_HUB_OFFLINE: "",
  });
});
afterAll(() => {
  hub.close();
  for (const name of ["HF_ENDPOINT", "HF_TOKEN", "HF_HOME", "INGOT_CACHE", "HF_HUB_OFFLINE"]) {
    if (kept[name] === undefined) delete process.env[name];
    else process.env[name] = kept[name];
  }
});

test("merge: the same bytes as in a folder, and what differs in licences is told", async () => {
  const merge = "$MERGE llama-tied llama-tied --allow-duplicates --method linear --weight 0.5 -q";
  const ran = await runShell(`${merge} -o hf:org/merged && ${merge} -o merged`, folder);
  expect(ran.code, ran.err).toBe(0);
  expect(ran.err).toContain("hf:org/merged: no licence is stated by llama-tied, so the card states none");
  const sent = hub.repositories.get("org/merged")!;
  for (const name of readdirSync(at("merged"))) {
    expect(sent.get(name), name).toEqual(new Uint8Array(readFileSync(at(`merged/${name}`))));
  }
  expect(new TextDecoder().decode(sent.get("README.md"))).toContain("# merged\n");
}, 120_000);

test("train: an adapter, whose state lies here until it is sent", async () => {
  const train =
    "$TRAIN llama-tied --data llama-tied.jsonl --steps 1 --lora --lora-rank 2 --save-every 1 -q -o hf:org/tuned";
  const plan = await runShell(`${train} --dry-run`, folder);
  expect(plan.text).toContain("to: hf:org/tuned, as one commit to main");
  expect(hub.repositories.has("org/tuned")).toBe(false);
  hub.accepts = 0;
  const broken = await runShell(train, folder);
  expect(broken.code).toBe(1);
  expect(broken.err).toContain("answered 503 to an upload");
  expect(existsSync(at("tuned-state"))).toBe(true);
  hub.accepts = 10;
  const resumed = await runShell(`${train} --resume`, folder);
  expect(resumed.code, resumed.err).toBe(0);
  expect(existsSync(at("tuned-state"))).toBe(false);
  expect([...hub.repositories.get("org/tuned")!.keys()].sort()).toEqual([
    ...["README.md", "adapter_config.json", "adapter_model.safetensors"],
  ]);
}, 120_000);

test("a token that may not write is refused before the work", async () => {
  hub.owner = { ...hub.owner, orgs: [] };
  const ran = await runShell("$MERGE llama-tied --method linear -o hf:org/other", folder);
  expect(ran.code).toBe(2);
  expect(ran.err).toContain("me, whose token this is, is not in org");
});
