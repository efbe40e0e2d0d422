/** What `inspect` prints of a chosen file. */
import { decodePlain, openPlain } from "../../checkpoint/open.ts";
import { overviewOf } from "../../inspect/overview.ts";
import { lineageText, summary, tensorTable } from "../../inspect/report.ts";
import { impossibleValues } from "../../model/config-values.ts";
import { readConfig } from "../../model/names.ts";
import { setFiles } from "./files.ts";

/** The text of `ingot inspect NAME`; with `all` that of `--verbose`. Throws UserError as opening does. */
export async function inspectFile(
  files: ReadonlyMap<string, Blob>,
  name: string,
  all: boolean,
  warn: (text: string) => void,
): Promise<string> {
  setFiles(files);
  const options = { warn, undecoded: "list" } as const;
  const checkpoint = await decodePlain(await openPlain(name, options), options);
  try {
    const config = readConfig(checkpoint);
    for (const text of config ? impossibleValues(config, "config.json") : []) warn(text);
    const tensors = [...checkpoint.tensors.values()];
    const parts = [
      summary(overviewOf(checkpoint, tensors, undefined)),
      tensorTable(tensors, all),
      lineageText(checkpoint.lineage),
    ];
    return parts.filter(Boolean).join("\n\n");
  } finally {
    checkpoint.close();
  }
}
