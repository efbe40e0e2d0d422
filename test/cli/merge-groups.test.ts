/** Merges within groups of tasks: `merge --groups`. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DECODER, merge, tensorsOf, writeModel } from "./merge-models.ts";

setDefaultTimeout(120_000); // the machine may be busy

let folder: string;
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-merge-groups-"));
  for (const [i, name] of ["base", "fr", "es", "de"].entries()) writeModel(at(name), tensorsOf(DECODER, 1 + i));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (argv: string) => merge(argv.split(" "), { cwd: folder });
const groups = (name: string, text: string) => writeFileSync(at(name), text);
/** Bytes of the tensors of a checkpoint: what is behind its header. */
function tensors(name: string): string {
  const bytes = readFileSync(at(`${name}/model.safetensors`));
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))).toString("base64");
}
const TIES = "--base base --method ties --density 0.4 --weight 1 -q";

test("one group of all is the plain merge, and a group of one its model", async () => {
  groups("all.yml", "all: [fr, es/, de]\n");
  groups("each.yml", "f: [fr]\ne: {spanish: es}\nd: [de]\n");
  expect((await run(`fr es de ${TIES} -o plain`)).err).toBe("");
  expect((await run(`--groups all.yml ${TIES} -o all`)).err).toBe("");
  expect(tensors("all/all")).toBe(tensors("plain"));
  const { err } = await run(`--groups each.yml ${TIES.replace(" -q", "")} -o each`);
  expect(err).toContain("e is one model, which stays as it is: es");
  expect([tensors("each/f"), tensors("each/e"), tensors("each/d")]).toEqual(["fr", "es", "de"].map(tensors));
  expect(JSON.parse(readFileSync(at("each/groups.json"), "utf8")).tasks.spanish).toEqual({
    ...{ group: "e", checkpoint: "e/", of: "es" },
  });
});

test("every group is the merge of its own models", async () => {
  groups("two.yml", "romance:\n  french: fr\n  spanish: es\ngermanic: [de]\n");
  const { code, text } = await run(`--groups two.yml ${TIES} -o two --json`);
  expect(code).toBe(0);
  expect(JSON.parse(text).tasks.french).toEqual({ group: "romance", checkpoint: "romance/", of: "fr" });
  await run(`fr es ${TIES} -o romance`);
  expect(tensors("two/romance")).toBe(tensors("romance"));
  expect((await run(`--groups two.yml ${TIES} -o two`)).err).toContain("is there already");
});

test("a dry run tells every group and writes none", async () => {
  groups("two.yml", "romance: [fr, es]\ngermanic: [de]\n");
  const { text } = await run(`--groups two.yml ${TIES} -o dry --dry-run`);
  expect(text).toContain("romance:\n");
  expect(text).toContain("germanic:\n");
  expect(existsSync(at("dry"))).toBe(false);
  const json = JSON.parse((await run(`--groups two.yml ${TIES} -o dry --dry-run --json`)).text);
  expect(Object.keys(json.groups)).toEqual(["romance", "germanic"]);
  expect(json.groups.romance).not.toBeNull();
});

test.each([
  ["a: [fr]\nb: [fr]\n", "", "names the task fr twice"],
  ["a: fr\n", "", "odd.yml:1:4: the group a names no models"],
  ["a: [[fr]]\n", "", "odd.yml:1:5: "],
  ["a/b: [fr]\n", "", "cannot be a folder"],
  ["- fr\n", "", "is no table of groups"],
  ["a: [fr, es]\nb: [gone]\n", "", "gone"],
  ["a: [fr, es]\n", "de", "--groups names the models itself"],
  ["a: [fr, es]\n", "--shard 1/2", "--shard is for one merge"],
])("refuses %j %s before anything is written", async (text, more, message) => {
  groups("odd.yml", text);
  const { code, err } = await run(`--groups odd.yml ${TIES} -o odd${more && ` ${more}`}`);
  expect(err).toContain(message);
  expect(code).toBe(2);
  expect(existsSync(at("odd"))).toBe(false);
});
