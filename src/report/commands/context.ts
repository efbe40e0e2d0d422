/** What `report` is given. */
import type { CommonValues, PlainContext } from "../../cli/context.ts";
import type { Values } from "../../method/options.ts";
import type { REPORT } from "../options.ts";

export type ReportContext = PlainContext & { readonly options: CommonValues & Values<typeof REPORT> };
