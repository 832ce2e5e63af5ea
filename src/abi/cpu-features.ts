/**
 * CPU features as /proc/cpuinfo names them (arch/x86/include/asm/cpufeatures.h), sorted by whom they concern.
 */

/**
 * Those that glibc chooses code by, with the names that its tunable `glibc.cpu.hwcaps` takes (glibc, sysdeps/x86/cpu-tunables.c).
 * Only append to this list: nodes tell one another by position which of them they have. At most 32.
 */
export const GLIBC_FEATURES: readonly (readonly [flag: string, tunable: string])[] = [
  ["pni", "SSE3"],
  ["ssse3", "SSSE3"],
  ["sse4_1", "SSE4_1"],
  ["sse4_2", "SSE4_2"],
  ["popcnt", "POPCNT"],
  ["movbe", "MOVBE"],
  ["abm", "LZCNT"],
  ["bmi1", "BMI1"],
  ["bmi2", "BMI2"],
  ["erms", "ERMS"],
  ["rtm", "RTM"],
  ["xsavec", "XSAVEC"],
  ["avx", "AVX"],
  ["fma", "FMA"],
  ["fma4", "FMA4"],
  ["avx2", "AVX2"],
  ["avx512f", "AVX512F"],
  ["avx512cd", "AVX512CD"],
  ["avx512bw", "AVX512BW"],
  ["avx512dq", "AVX512DQ"],
  ["avx512vl", "AVX512VL"],
  ["avx512er", "AVX512ER"],
  ["avx512pf", "AVX512PF"],
];

/** What no program can use or see the effect of: the kernel's own, a hypervisor's, and what Linux adds to describe a machine. */
const NOT_FOR_PROGRAMS =
  "vme de pse msr pae mce apic sep mtrr pge mca pat pse36 dts acpi ss ht tm ia32 pbe mp nx pdpe1gb constant_tsc arch_perfmon pebs bts " +
  "rep_good nopl xtopology nonstop_tsc cpuid extd_apicid aperfmperf tsc_known_freq tsc_reliable tsc_adjust tsc_deadline_timer dtes64 " +
  "monitor ds_cpl vmx smx est tm2 cid xtpr pdcm pcid dca x2apic hypervisor cmp_legacy svm extapic cr8_legacy osvw ibs " +
  "skinit wdt tce topoext perfctr_core perfctr_nb perfctr_llc bpext ptsc cpuid_fault cpb epb cat_l2 cat_l3 cdp_l2 " +
  "cdp_l3 hw_pstate proc_feedback pti intel_ppin ssbd mba ibrs ibpb stibp ibrs_enhanced retpoline tpr_shadow vnmi flexpriority " +
  "ept vpid ept_ad vmmcall vmmcall_only smep smap invpcid invpcid_single cqm rdt_a intel_pt xsaves cqm_llc cqm_occup_llc cqm_mbm_total " +
  "cqm_mbm_local split_lock_detect bus_lock_detect dtherm ida arat pln pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req hfi " +
  "npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists pausefilter pfthreshold avic v_vmsave_vmload vgif " +
  "x2avic v_spec_ctrl virt_ssbd amd_ppin brs umip pconfig arch_lbr md_clear flush_l1d arch_capabilities core_capabilities sme sev sev_es " +
  "sev_snp debug_swap irperf wbnoinvd overflow_recov succor smca fsrs_hint amd_lbr_v2 amd_lbr_pmc_freeze perfmon_v2 xsaveerptr " +
  "la57 tme mce_recovery spec_ctrl amd_ssbd amd_stibp intel_stibp auto_ibrs no_nested_data_bp " +
  "null_sel_clr_base swap_gs lkgs fred ibt idle_hlt";
const HIDDEN: ReadonlySet<string> = new Set(NOT_FOR_PROGRAMS.split(" "));

/** The features of a line of /proc/cpuinfo that programs can use; what is not known counts as one. */
export const programFeatures = (flags: string): Set<string> => new Set(flags.split(/\s+/).filter((f) => f !== "" && !HIDDEN.has(f)));

/** The features that glibc chooses by, as bits in the order of the list. */
export function glibcBits(features: ReadonlySet<string>): number {
  return GLIBC_FEATURES.reduce((bits, [flag], i) => (features.has(flag) ? bits | (1 << i) : bits), 0) >>> 0;
}

/** Their tunables. */
export const tunablesOf = (bits: number): string[] => GLIBC_FEATURES.filter((_, i) => (bits >>> i) & 1).map(([, tunable]) => tunable);

/**
 * Environment variable of programs that use the features that glibc was left with, and no others: those, as glibcBits() in hexadecimal. The
 * tunables themselves cannot be read from outside: glibc cuts them up where execve(2) has put them.
 */
export const PORTABLE = "TESELA_PORTABLE";

/** Environment variable of glibc's tunables: `name=value` pairs with colons between them. */
export const TUNABLES = "GLIBC_TUNABLES";
const HWCAPS = "glibc.cpu.hwcaps=";

/** What the last `glibc.cpu.hwcaps` among some tunables takes away. */
function maskedTunables(tunables: string): Set<string> {
  const value = tunables.split(":").findLast((t) => t.startsWith(HWCAPS));
  const words = value?.slice(HWCAPS.length).split(",") ?? [];
  return new Set(words.flatMap((w) => (w.startsWith("-") ? [w.slice(1)] : [])));
}

/** Tunables that take away some more features; those that are there already stay. */
export function maskTunables(tunables: string, names: readonly string[]): string {
  if (names.length === 0) return tunables;
  const all = tunables === "" ? [] : tunables.split(":");
  const at = all.findLastIndex((t) => t.startsWith(HWCAPS));
  const already = maskedTunables(tunables);
  const more = names.filter((n) => !already.has(n)).map((n) => `-${n}`);
  const words =
    at < 0
      ? []
      : (all[at] as string)
          .slice(HWCAPS.length)
          .split(",")
          .filter((w) => w !== "" && !names.includes(w));
  const value = HWCAPS + [...words, ...more].join(",");
  return (at < 0 ? [...all, value] : all.with(at, value)).join(":");
}
