//! The cases of the contract. Each takes a [`fleet::Fleet`] of its own, of [`fleet::GATEWAYS`] gateways that hold nothing yet.

pub(crate) mod append;
pub(crate) mod audience;
pub(crate) mod broadcast;
pub(crate) mod checks;
pub(crate) mod erase;
pub(crate) mod fleet;
pub(crate) mod gateways;
pub(crate) mod history;
pub(crate) mod once;
pub(crate) mod order;
pub(crate) mod read;
pub(crate) mod request;
pub(crate) mod sessions;
pub(crate) mod snapshot;

/// Calls the macro `$run` with the names of all cases.
macro_rules! contract_cases {
    ($run:ident) => {
        $run! {
            append {
                counts_each_stream_from_one,
                writes_the_number_between_the_pieces,
                reaches_every_gateway,
                changes_fields_with_the_entry,
                removes_fields,
                lists_the_streams_that_exist,
                starts_another_epoch_after_losing_its_data,
            }
            order {
                is_the_same_for_every_gateway_when_threads_share_a_stream,
                rises_across_streams,
            }
            checks {
                hold_for_the_text_a_field_has,
                hold_for_absence_and_presence,
                change_nothing_when_they_fail,
                do_not_create_the_stream_when_they_fail,
                let_one_of_many_through,
            }
            once {
                answers_a_repetition_with_the_first_entry,
                publishes_a_repetition_to_nobody,
                answers_a_repetition_whose_checks_would_fail_now,
                is_per_stream,
                ends_with_its_time,
                outlives_the_trimmed_log,
                lets_one_of_many_through,
                is_not_used_up_by_a_failed_check,
            }
            erase {
                takes_text_out_of_history,
                keeps_the_number_and_the_name_for_replay,
                ignores_numbers_that_are_not_there,
            }
            snapshot {
                is_nothing_before_the_stream_exists,
                holds_position_fields_and_history,
                is_of_one_moment,
                shares_its_clock_with_the_entries,
            }
            read {
                gives_what_came_after,
                stops_at_the_limit,
                is_empty_at_the_end,
                starts_at_the_beginning_without_a_position,
                is_gone_when_the_log_was_trimmed,
                is_gone_in_another_epoch,
                is_gone_past_the_end,
                of_an_unknown_stream_is_empty_or_gone,
            }
            history {
                gives_the_newest_oldest_first,
                leaves_other_events_out,
                pages_back_to_the_beginning,
                of_an_unknown_stream_is_empty,
            }
            audience {
                sums_the_viewers_of_all_gateways,
                replaces_a_share_and_gives_it_up_at_zero,
                lapses_without_renewal,
                counts_who_moves_once,
                remembers_the_peak,
                counts_a_user_of_two_gateways_once,
                estimates_a_crowd,
                adds_counters_up,
                answers_in_the_order_of_the_shares,
                never_creates_a_stream,
            }
            sessions {
                come_back_on_any_gateway,
                stay_after_they_were_read,
                are_replaced,
                are_forgotten,
                expire,
                live_on_when_saved_again,
            }
            gateways {
                see_each_other_by_number,
                are_gone_once_withdrawn,
                lapse_without_renewal,
                live_on_when_renewed,
                may_move,
                come_back_after_the_data_was_lost,
            }
            broadcast {
                reaches_the_other_gateways_that_want_it,
                without_rooms_reaches_all_others,
                carries_bytes_and_exceptions,
                keeps_its_order,
            }
            request {
                collects_the_answer_of_every_other_gateway,
                names_those_that_did_not_answer_in_time,
                counts_a_dropped_reply_as_no_answer,
                that_orders_returns_at_once,
                reaches_nobody_alone,
            }
        }
    };
}
