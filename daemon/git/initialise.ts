import { access, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeFolder } from "../folders.ts";

/** Makes an ordinary repository as `git init` does; HEAD comes last, so that half of it is no repository yet. */
export async function initialise(folder: string, gitdir: string): Promise<void> {
  if (
    await access(join(gitdir, "HEAD")).then(
      () => true,
      () => false,
    )
  )
    return;
  if (
    await readdir(gitdir).then(
      (names) => names.includes("objects"),
      (error) => error.code !== "ENOENT",
    )
  )
    return;
  await makeFolder(folder);
  for (const name of ["objects/info", "objects/pack", "refs/heads", "refs/tags", "info"]) {
    await mkdir(join(gitdir, name), { recursive: true });
  }
  await writeFile(
    join(gitdir, "config"),
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n",
  );
  await writeFile(join(gitdir, "HEAD"), "ref: refs/heads/main\n");
}
