import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

const BIOS =
  "-eltorito-boot boot/bios.img -eltorito-catalog boot/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table";
const HYBRID = `${BIOS} -isohybrid-mbr MBR`;
const APPENDED = "-append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B EFI";
const EFI = "-eltorito-alt-boot -e --interval:appended_partition_2:all:: -no-emul-boot";

/** The kinds of image that people make with xorriso; `archiso-*` are the option lists of Arch's mkarchiso. */
export const IMAGE_VARIANTS = {
  padded: "",
  "no-pad": "-no-pad",
  "el-torito": `${BIOS} -no-pad`,
  "hybrid-mbr": `${HYBRID} -no-pad`,
  "hybrid-mbr-padded": HYBRID,
  "protective-mbr": "--protective-msdos-label -no-pad",
  "archiso-bios-and-efi": `${HYBRID} --mbr-force-bootable -partition_offset 16 ${APPENDED} -isohybrid-gpt-basdat ${EFI} -no-pad`,
  "archiso-bios-and-efi-padded": `${HYBRID} --mbr-force-bootable -partition_offset 16 ${APPENDED} -isohybrid-gpt-basdat ${EFI}`,
  "archiso-efi": `-partition_offset 16 ${APPENDED} -appended_part_as_gpt ${EFI} -eltorito-catalog EFI/boot.cat -no-pad`,
  /** Not one of those: the EFI partition lies behind the volume's end, so that the volume does not speak for it. */
  "partition-outside-volume": `${HYBRID} ${APPENDED} -appended_part_as_gpt ${EFI} -no-pad`,
} as const;

export type ImageVariant = keyof typeof IMAGE_VARIANTS;

/** An ISO 9660 image made by the real xorriso, 70 KiB to 1.3 MiB; volume id `ARCH_202611` and 1 November 2026 unless told. */
export async function makeImage(
  variant: ImageVariant = "no-pad",
  { volumeId = "ARCH_202611", createdAt = "2026-11-01T12:00:00Z" } = {},
): Promise<Buffer> {
  const cleanup = new Cleanup();
  try {
    const folder = await tempDir(cleanup);
    const tree = join(folder, "tree");
    await mkdir(join(tree, "boot"), { recursive: true });
    await mkdir(join(tree, "EFI"));
    const bios = Buffer.alloc(2048);
    bios.write("\xfb\xc0\x78\x70", 64, "latin1"); // what xorriso takes for ISOLINUX
    await writeFile(join(tree, "boot", "bios.img"), bios);
    await writeFile(join(folder, "mbr"), Buffer.alloc(432));
    await writeFile(join(folder, "efi"), Buffer.alloc(64 * 1024, "efi"));
    const paths: Readonly<Record<string, string>> = { MBR: join(folder, "mbr"), EFI: join(folder, "efi") };
    const options = IMAGE_VARIANTS[variant].split(" ").filter((word) => word !== "");
    const common = "-iso-level 3 -full-iso9660-filenames -joliet -joliet-long -rational-rock".split(" ");
    const labels = [
      "-volid",
      volumeId,
      "-appid",
      "Arch Linux Live/Rescue DVD",
      "-publisher",
      "Arch Linux <https://archlinux.org>",
    ];
    const output = join(folder, "image.iso");
    const env = { ...process.env, SOURCE_DATE_EPOCH: String(Date.parse(createdAt) / 1000), TZ: "UTC" };
    const args = [
      ...common,
      ...labels,
      ...options.map((word) => paths[word] ?? word),
      "-output",
      output,
      tree,
    ];
    await runOk("xorriso", ["-no_rc", "-report_about", "SORRY", "-as", "mkisofs", ...args], { env });
    return await readFile(output);
  } finally {
    await cleanup.run();
  }
}
