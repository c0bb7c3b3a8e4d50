/* SPDX-License-Identifier: MIT */
/*
 * The functions of include/sluice, each once: so that the linker takes them all out of the static libraries, for modules
 * to find, also those that no built-in stage calls. `make lint` names what is missing here, and what is not exported.
 */
#include <sluice/stage.h>

#define API(function) (void (*)(void))(function)

/* clang-format off */
__attribute__((used)) static void (*const functions[])(void) = {
	/* record.h */
	API(sl_kind), API(sl_kind_name),
	API(sl_get_bool), API(sl_get_int), API(sl_get_uint), API(sl_get_double), API(sl_get_str), API(sl_get_bin),
	API(sl_count), API(sl_find), API(sl_walk), API(sl_next), API(sl_check),
	API(sl_writer_init), API(sl_writer_fini), API(sl_writer_reset), API(sl_writer_reserve),
	API(sl_put_nil), API(sl_put_bool), API(sl_put_int), API(sl_put_uint), API(sl_put_double), API(sl_put_str),
	API(sl_put_cstr), API(sl_put_bin), API(sl_put_array), API(sl_put_map), API(sl_put_value),
	API(sl_record_done), API(sl_record_abandon),
	API(sl_print), API(sl_json_print), API(sl_json_parse),
	API(sl_format_of), API(sl_compression_of), API(sl_sniff), API(sl_fields_check),
	API(sl_decoder_new), API(sl_decoder_free), API(sl_decoder_read), API(sl_decoder_reason), API(sl_decoder_line),
	API(sl_decoder_bytes), API(sl_decoder_seek), API(sl_decoder_limit), API(sl_decoder_follow), API(sl_decoder_end),
	API(sl_encoder_new), API(sl_encoder_free), API(sl_encoder_write), API(sl_encoder_flush), API(sl_encoder_finish), API(sl_encoder_save), API(sl_encoder_restore),
	API(sl_encoder_reason),
	/* stage.h */
	API(sl_batch_count), API(sl_batch_record),
	API(sl_batch_identity), API(sl_process), API(sl_process_count), API(sl_stage_name), API(sl_full_name), API(sl_state), API(sl_run),
	API(sl_series), API(sl_term), API(sl_rejected_before), API(sl_waited), API(sl_drop), API(sl_listener), API(sl_checkpoint), API(sl_bound), API(sl_safe), API(sl_checkpoint_begin), API(sl_checkpoint_next), API(sl_goes_on), API(sl_remember), API(sl_recall),
	API(sl_log), API(sl_log_about), API(sl_error), API(sl_reject), API(sl_retry), API(sl_progress), API(sl_stored),
	/* task.h */
	API(sl_now), API(sl_sleep_until), API(sl_yield), API(sl_wait_fd), API(sl_is_stopping),
	API(sl_read), API(sl_write), API(sl_connect), API(sl_accept), API(sl_resolve),
	API(sl_http), API(sl_http_response_fini), API(sl_http_header),
	API(sl_spawn), API(sl_child_wait), API(sl_child_end), API(sl_offload),
	API(sl_sem_init), API(sl_sem_take), API(sl_sem_give),
	API(sl_lock_init), API(sl_lock_take), API(sl_lock_give),
	API(sl_event_init), API(sl_event_set), API(sl_event_clear), API(sl_event_wait),
	API(sl_channel_new), API(sl_channel_free), API(sl_channel_send), API(sl_channel_receive), API(sl_channel_close),
	API(sl_group_open_at), API(sl_group_start), API(sl_group_next), API(sl_group_cancel), API(sl_group_close),
	API(sl_gather), API(sl_scope_open), API(sl_scope_close),
};

__attribute__((used)) static const void *const data[] = { sl_format_names, sl_compression_names, sl_header_names };
/* clang-format on */
