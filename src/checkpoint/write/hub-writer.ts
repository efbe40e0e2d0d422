/** A result that goes to the Hub: made whole in a folder of this machine, then sent as one commit. */
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { writableCache } from "../../cache-folders.ts";
import { UserError } from "../../errors.ts";
import { licenceInFolder, makeCard } from "../hub/card.ts";
import { licenceOnHub } from "../hub/licence.ts";
import { prepareUpload, sendFolder, type UploadTarget } from "../hub/upload.ts";
import type { OutputPlan } from "./shards.ts";
import type { WriteOptions, Writer } from "./writer.ts";

/** Where results wait for their upload: by repository, so that one that broke is found again. */
const stagingOf = (name: string): string =>
  path.join(writableCache() ?? tmpdir(), "uploads", name.replaceAll("/", "--"));

/**
 * Asks whether the repository can be written, then begins to write to a folder with `begin`. After the folder is whole
 * it is sent, with a card where the repository has none, and removed; where sending fails it stays, and the error says
 * where. Throws UserError.
 */
export async function hubWriter(
  ref: string,
  { lineage, files }: OutputPlan,
  { warn = () => {}, progress, env = process.env }: NonNullable<WriteOptions["hub"]>,
  begin: (folder: string) => Promise<Writer>,
): Promise<Writer> {
  const target = await prepareUpload(ref, env);
  const folder = stagingOf(target.asked.name);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(path.dirname(folder), { recursive: true });
  const inner = await begin(`${folder}/`);
  return {
    ...inner,
    async finish() {
      await inner.finish();
      if (!target.files?.has("README.md")) {
        const licenceOf = (from: string) => (from.startsWith("hf:") ? licenceOnHub(from, env) : licenceInFolder(from));
        const card = await makeCard(target.asked.name, lineage, files.has("adapter_config.json"), licenceOf);
        for (const warning of card.warnings) warn(`${ref}: ${warning}`);
        fs.writeFileSync(path.join(folder, "README.md"), card.text);
      }
      await send(target, folder, lineage.at(-1)?.script ?? "ingot", { warn, progress });
      fs.rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function send(
  target: UploadTarget,
  folder: string,
  script: string,
  { warn, progress }: { warn: (text: string) => void; progress: NonNullable<WriteOptions["hub"]>["progress"] },
): Promise<void> {
  try {
    const { removed } = await sendFolder(target, folder, `Upload of ingot ${script}`, progress);
    if (removed.length > 0) warn(`${target.asked.ref}: ${removed.join(", ")} of the model before are removed`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const hint = `${error.hint ? `${error.hint}; ` : ""}${folder} holds the whole result, and the same command sends the rest`;
    throw new UserError(error.message, hint, 1);
  }
}
