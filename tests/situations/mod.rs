//! What libvirtd calls the hook for, and what comes of it: one folder, one situation.
//!
//!     NAME/call          what happens, line by line:
//!                          vm migrate begin -              the hook is called so; 'my vm' has a space
//!                          vm migrate begin - < other.xml  with that file on its stdin
//!                          as 65534: vm prepare begin -    by the daemon of that user
//!                          by libxl: vm prepare begin -    by Xen's driver, as /etc/libvirt/hooks/libxl
//!                          ! rm usr/sbin/virt-recontext    a shell command in the host's root
//!     NAME/stdin.xml     what libvirtd gives; without it the usual VM, `domain/`, in which …
//!     NAME/drives.xml    … these are the CD-ROM drives,
//!     NAME/metadata.xml  … this is our part of the metadata
//!     NAME/root/         files of the host, besides those of the usual one, `host/`
//!     NAME/expected      what must happen at each call, and nothing else
//!
//! In `expected`, below each call: its exit code if it is not 0; what it said on stderr; the lines in which its answer
//! differs from what was asked (`-` asked, `+` answered); lines of the log; files that are new (`+`), gone (`-`), new
//! in place of an old one (`>`) or written over (`~`), with their content; how the helper was started. What differs
//! from run to run is replaced by a word (see `normal`): `G1` is the first disc's number, `{PATH}` the identity of that
//! file. A sentence for people is only `…`; the file `sentences` has the words of all (see `sentences.rs`). Checked at
//! each call and so not told: that libvirt's schema takes the answer, that no secret of the VM is written or logged, and
//! that the helper keeps nothing of its caller.
//!
//! `UPDATE=1 cargo test --test tests situations::` writes `expected` anew: read every line of the difference before
//! you commit. These tests need bsdtar, strace, virt-xml-validate and unshare.

mod cli;
mod difference;
mod doctor;
mod faults;
mod harm;
mod journal;
mod normal;
mod sentences;
mod situation;
mod snapshot;

use crate::site;

/// Makes a test of each name; the names are those of the folders.
macro_rules! situations {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                situation::check(stringify!($name));
            }
        )*

        #[test]
        fn every_folder_is_a_test() {
            let mut tests = vec![$(stringify!($name)),*];
            tests.sort_unstable();
            assert_eq!(tests, situation::all());
        }
    };
}

situations! {
    a_broken_configuration_lets_a_vm_in_that_insists_on_its_disc
    a_broken_configuration_starts_a_vm_that_insists_on_its_disc_with_an_empty_one
    a_configuration_that_is_a_directory_harms_no_vm
    a_configuration_that_is_a_pipe_harms_no_vm
    a_configuration_that_is_no_toml_harms_no_vm
    a_configuration_that_others_may_write_harms_no_vm
    a_configuration_with_a_wrong_value_harms_no_vm
    a_damaged_job_is_still_done
    a_damaged_state_is_written_anew
    a_disc_that_would_be_too_large_is_not_made
    a_drive_of_another_format_is_refused
    a_failing_template_answers_nothing_when_the_file_is_there
    a_failing_template_answers_nothing_when_the_file_may_be_missing
    a_failing_template_keeps_the_old_disc
    a_failing_template_lets_a_missing_file_be_missing
    a_failing_template_starts_a_vm_that_insists_on_its_disc_with_an_empty_one
    a_failing_template_starts_the_vm_without_a_disc
    a_fault_in_facts_is_told_with_its_line
    a_file_that_a_vm_carries_cannot_leave_the_disc
    a_floppy_called_as_the_target_is_left_alone
    a_foreign_disc_that_is_missing_is_not_our_affair
    a_host_wide_program_gives_the_hook_its_facts_for_a_vm_that_was_never_here
    a_host_wide_program_that_gave_nothing_yet_leaves_the_drive_to_the_helper
    a_host_without_data_makes_a_disc_with_its_marker
    a_key_that_a_configuration_has_and_nobody_knows_does_not_count
    a_label_can_be_asked_for
    a_log_that_is_missing_stops_nothing
    a_mention_of_our_namespace_asks_for_nothing
    a_network_of_the_same_name_may_be_a_new_one
    a_new_network_is_on_the_disc_until_the_vm_next_starts
    a_number_grows_though_the_clock_was_set_back
    a_program_gives_the_hook_what_it_printed_last
    a_program_that_was_not_run_yet_leaves_the_drive_to_the_helper
    a_rule_refuses_a_vm_in_the_administrators_words
    a_rule_whose_bridge_is_not_here_leaves_the_vm_as_it_came
    a_run_directory_that_is_a_file_stops_nothing
    a_selected_vm_that_was_taken_out_stays_out
    a_target_that_is_missing_is_told
    a_target_that_is_no_cdrom_is_left_alone
    a_template_cannot_read_a_file_of_the_host
    a_template_that_eats_memory_is_stopped
    a_template_that_loops_is_stopped
    a_usb_drive_is_refused
    a_vm_cannot_forge_the_marker
    a_vm_that_a_rule_selects_is_left_to_the_helper_when_it_starts
    a_vm_that_left_while_its_link_was_down_gets_it_up_here
    a_vm_that_no_rule_selects_is_left_alone
    a_vm_without_a_cdrom_goes_on
    a_vms_own_element_wins_over_every_rule
    an_empty_disc_is_no_seed_of_cloud_init
    an_image_directory_of_any_name_is_escaped_in_the_answer
    an_image_directory_that_is_a_file_stops_nothing
    an_image_of_many_mib_is_whole
    an_overlay_over_the_disc_is_known
    answer_keeps_every_other_byte
    any_name_of_a_vm_is_only_data
    arrival_fills_an_empty_drive
    arrival_from_another_image_directory_changes_one_value
    arrival_gives_a_source_without_a_policy_one
    arrival_in_a_drive_with_a_backing_store_element
    arrival_keeps_the_policy_of_the_source
    arrival_replaces_a_block_device
    arrival_replaces_a_foreign_disc_in_the_named_drive
    arrival_replaces_a_network_medium
    arrival_replaces_a_volume
    arrival_with_the_right_path_is_not_answered
    at_a_restore_rules_leave_what_they_gave_themselves
    data_for_one_vm_wins_by_name_and_more_by_uuid
    does_not_choose_between_two_empty_drives
    facts_in_toml_and_json_are_merged
    faulty_metadata_lets_a_vm_in_that_insists_on_its_disc
    finds_the_drive_that_holds_our_disc_without_a_target
    guests_learn_no_more_of_the_host_than_they_may
    keeps_foreign_cdroms_when_the_second_drive_is_named
    keeps_the_only_drives_foreign_disc_without_a_target
    links_are_followed_and_modes_are_kept
    metadata_that_needs_what_nobody_knows_gets_no_disc
    metadata_with_an_unknown_attribute_is_told
    metadata_with_an_unknown_format_is_told
    more_arguments_than_today_change_nothing
    never_fails_on_reconnect
    on_error_refuse_keeps_a_job_that_waits
    on_error_refuse_lets_vms_without_our_metadata_in
    on_error_refuse_never_harms_a_running_vm
    on_error_refuse_refuses_to_start_arrive_and_restore
    only_regular_files_are_read
    only_what_root_alone_can_write_is_read
    other_calls_do_nothing
    owner_and_mode_of_images_are_configurable
    prepare_drops_a_job_of_an_arrival_that_never_came
    prepare_keeps_the_disc_of_the_same_arrival
    prepare_leaves_a_foreign_disc_alone
    prepare_leaves_a_path_that_climbs_alone
    prepare_leaves_a_subdirectory_alone
    prepare_leaves_an_empty_drive_to_started
    prepare_leaves_another_vms_image_alone
    prepare_makes_a_disc_of_any_name_in_our_directory
    prepare_makes_the_first_boots_disc
    reconnect_with_a_job_starts_the_helper
    reconnect_without_a_job_does_nothing
    release_after_a_failed_arrival_cleans_up
    release_leaves_an_image_that_another_host_put_there
    release_leaves_other_vms_alone
    release_leaves_the_disc_to_a_snapshot
    release_removes_all_of_the_vm
    release_without_a_reason_leaves_the_disc
    restore_fills_an_empty_drive
    restore_from_another_image_directory_changes_one_value
    restore_with_the_right_path_is_not_answered
    revert_makes_a_new_disc_and_tells_the_guest
    revert_of_a_vm_that_takes_no_part_does_nothing
    required_rules_that_change_nothing_refuse_nothing
    rules_adapt_a_vm_that_arrives_and_its_disc_is_made
    rules_for_all_vms_adapt_one_that_takes_no_part
    rules_hold_whatever_becomes_of_the_disc
    rules_that_are_not_understood_leave_the_vm_as_it_came
    rules_that_crash_harm_no_disc
    rules_that_crash_refuse_no_vm_that_takes_no_part
    rules_that_do_not_end_leave_time_for_the_disc
    rules_with_a_key_that_nobody_knows_select_no_vm
    second_arrival_leaves_the_old_disc_to_whoever_reads_it
    second_reconnect_changes_nothing
    second_release_changes_nothing
    second_start_makes_a_new_disc_in_a_new_file
    session_mode_does_nothing
    sign_command_leaves_the_drive_to_the_helper
    started_goes_on_with_a_helper_that_is_no_program
    started_goes_on_without_a_helper
    started_with_a_foreign_disc_in_the_named_drive_notes_a_job
    started_with_a_job_starts_the_helper
    started_with_our_disc_in_the_drive_does_nothing
    started_without_our_disc_notes_a_job_and_starts_the_helper
    stopped_drops_the_job_and_keeps_the_rest
    takes_the_only_drive_without_a_target_when_it_is_empty
    two_context_elements_are_told
    what_a_vm_carries_is_on_its_disc
    what_editors_and_packages_leave_does_not_count
    what_is_no_domain_changes_nothing
    what_rules_have_left_to_do_for_a_vm_that_takes_no_part_is_begun_when_it_has_started
    while_it_is_switched_off_no_call_does_anything
    while_it_is_switched_off_no_rule_counts
    without_any_metadata_nothing_happens_whatever_is_broken
    without_our_metadata_nothing_happens
    xen_arrival_changes_one_value
    xen_arrival_on_a_disk_changes_one_value
    xen_cleans_up_after_a_start_that_failed_later
    xen_has_no_restore_of_its_own
    xen_knows_no_rules
    xen_leaves_a_disk_alone_that_holds_no_context
    xen_lets_a_guest_in_with_an_empty_disc_when_its_own_cannot_be_made
    xen_makes_the_disc_at_prepare_that_could_not_be_made_at_migrate
    xen_may_declare_our_namespace_anywhere
    xen_notes_a_job_of_its_own_driver_for_an_empty_drive
    xen_restores_a_guest_with_a_new_disc
    xen_starts_a_guest_with_an_empty_disc_though_it_may_be_missing
    xen_starts_a_guest_with_its_disc
    xen_starts_an_hvm_guest_with_its_disc_and_leaves_it_alone_on_reconnect
}
