import { readdir } from "node:fs/promises";
import { basename } from "node:path";
import { toolTarget } from "../../daemon/capabilities.ts";
import type { Tool } from "./tool.ts";

const shipped = new URL("./library/", import.meta.url);

/**
 * Imports every tool in the folder, by name.
 * @param commands of the module: the capability `tool:NAME` would mean both, so no tool may have such a name
 * @throws Error naming the file that is not a tool, or has a name that it must not have
 */
export async function loadLibrary(commands: readonly string[], folder: URL = shipped): Promise<Map<string, Tool>> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".ts")).sort();
  const tools = await Promise.all(
    files.map(async (file) => {
      const { default: tool } = (await import(new URL(file, folder).href)) as { default?: Tool };
      if (typeof tool?.run !== "function") throw new Error(`${file} does not default-export a tool`);
      if (tool.name !== basename(file, ".ts")) throw new Error(`${file} holds a tool that is named ${tool.name}`);
      if (commands.includes(toolTarget(tool.name))) throw new Error(`${file} holds a tool that is named as the command tool:${tool.name}`);
      return tool;
    }),
  );
  return new Map(tools.map((tool) => [tool.name, tool]));
}
