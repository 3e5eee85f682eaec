"""The keywords of `input.nn`, of n2p2 and of RuNNer, by what they mean to a reader of short-range potentials.

n2p2 only warns of keywords that it does not know, so that RuNNer's inputs load. Silence is dangerous: a
keyword may be one that changes the model. Hence four groups: those that are understood; those known to leave
the model as it is; those known to change it in a way that is not supported; and unknown ones, which are
refused like the third.
"""

import difflib

ALIASES = {
    "symfunction": "symfunction_short",
    "global_symfunction_short_atomic": "global_symfunction_short",
    "nnp_generation": "nnp_type",
    "nnp_type_gen": "nnp_type",
    "nnp_gen": "nnp_type",
}

FLAGS = frozenset(
    {
        "scale_symmetry_functions",
        "center_symmetry_functions",
        "scale_symmetry_functions_sigma",
        "normalize_nodes",
    }
)
REPEATABLE = frozenset(
    {
        "symfunction_short",
        "global_symfunction_short",
        "element_symfunction_short",
        "atom_energy",
        "element_hidden_layers_short",
        "element_nodes_short",
        "element_activation_short",
    }
)
MODEL = (
    FLAGS
    | REPEATABLE
    | {
        "nnp_type",
        "nn_type_short",
        "number_of_elements",
        "elements",
        "cutoff_type",
        "cutoff_alpha",
        "scale_min_short",
        "scale_max_short",
        "global_hidden_layers_short",
        "global_nodes_short",
        "global_activation_short",
        "mean_energy",
        "conv_energy",
        "conv_length",
        "conv_charge",
    }
)

_TRAINING = """
    epochs test_fraction random_seed use_short_forces updater_type parallel_mode jacobian_mode update_strategy
    selection_mode selection_mode_energy selection_mode_force selection_mode_charge
    rmse_threshold rmse_threshold_energy rmse_threshold_force rmse_threshold_charge
    rmse_threshold_trials rmse_threshold_trials_energy rmse_threshold_trials_force
    rmse_threshold_trials_charge short_energy_error_threshold short_force_error_threshold
    task_batch_size_energy task_batch_size_force task_batch_size_charge energy_fraction force_fraction
    charge_fraction short_energy_fraction short_force_fraction force_energy_ratio force_weight
    repeated_energy_update memorize_symfunc_results normalize_data_set weights_min weights_max
    nguyen_widrow_weights_short nguyen_widrow_weights_charge precondition_weights use_old_weights_short
    use_old_weights_charge main_error_metric write_trainpoints write_trainforces write_traincharges
    write_weights_epoch write_neuronstats write_trainlog gradient_type gradient_eta gradient_adam_eta
    gradient_adam_beta1 gradient_adam_beta2 gradient_adam_epsilon kalman_type kalman_epsilon kalman_q0
    kalman_qtau kalman_qmin kalman_eta kalman_etatau kalman_etamax kalman_lambda_short kalman_nue_short
"""
_RUNNER = """
    analyze_composition analyze_error analyze_error_charge_step analyze_error_energy_step
    analyze_error_force_step biasweights_max biasweights_min bond_threshold calculate_final_force
    calculate_forces calculate_hessian calculate_stress charge_error_threshold charge_group
    charge_grouping_by_structure charge_update_scaling check_forces check_input_forces data_clustering
    debug_mode detailed_timing detailed_timing_epoch detect_saturation dynamic_force_grouping
    element_decoupled_forces_v2 element_decoupled_kalman enable_on_the_fly_input energy_threshold
    enforce_max_num_neighbors_atomic environment_analysis find_contradictions fitmode fitting_unit fix_weights
    fixed_short_energy_error_threshold fixed_short_force_error_threshold force_grouping_by_structure
    force_threshold force_update_scaling growth_mode initialization_only ion_forces_only
    joint_energy_force_update kalman_damp_charge kalman_damp_force kalman_damp_short kalman_lambda_charge
    kalman_lambda_charge_constraint kalman_nue_charge kalman_nue_charge_constraint max_energy max_force
    md_mode mix_all_points nblock nguyen_widrow_weights_ewald noise_charge noise_energy noise_force
    optmode_charge optmode_short_energy optmode_short_force points_in_memory prepare_md print_all_deshortdw
    print_all_dfshortdw print_all_electrostatic_weights print_all_short_weights print_convergence_vector
    print_date_and_time print_force_components print_mad print_sensitivity random_number_type
    random_order_training read_kalman_matrices read_unformatted regularize_fit_param remove_atom_energies
    remove_vdw_energies reset_kalman restrict_weights runner_mode saturation_threshold save_kalman_matrices
    separate_bias_ini_short separate_kalman_short short_energy_group short_force_group
    shuffle_weights_short_atomic silent_mode steepest_descent_step_charge steepest_descent_step_energy_short
    steepest_descent_step_force_short symfunction_correlation total_charge_error_threshold
    update_single_element update_worst_charges update_worst_short_energies update_worst_short_forces
    use_atom_charges use_atom_energies use_charge_constraint use_damping use_ipi use_noisematrix
    use_old_scaling use_omp_mkl use_short_nn use_systematic_weights_electrostatic use_systematic_weights_short
    weight_analysis weight_constraint weighte_constraint weightse_max weightse_min write_binding_energy_only
    write_fit_statistics write_pdb write_pov write_pwscf write_symfunctions write_temporary_weights
    write_unformatted write_xyz
"""
# Details of terms that RuNNer switches on by `use_electrostatics`, `use_vdw` or `nn_type_short 2`, and n2p2
# by `nnp_type 4`; those switches are refused, and without them these lines are idle. Many inputs carry them
# along.
_IDLE = """
    electrostatic_type nn_type_elec enforce_totcharge ewald_alpha ewald_cutoff ewald_kmax ewald_prec
    fixed_charge scale_min_elec scale_max_elec symfunction_electrostatic symfunction_elec
    element_symfunction_electrostatic global_symfunction_electrostatic global_symfunction_elec
    global_hidden_layers_electrostatic global_nodes_electrostatic global_activation_electrostatic
    element_hidden_layers_electrostatic element_nodes_electrostatic element_activation_electrostatic
    global_hidden_layers_pair global_nodes_pair global_nodes_short_pair global_activation_pair
    element_hidden_layers_pair element_nodes_pair element_activation_pair element_pairsymfunction_short
    global_pairsymfunction_short pairsymfunction_short global_symfunction_short_pair scale_min_short_pair
    scale_max_short_pair vdw_type vdw_screening vdw_cutoff vdw_coefficient vdw_radius
"""
# Of potentials with charges alone. How far n2p2 takes its Ewald sums is no part of the model.
CHARGES_REPEATABLE = frozenset(
    {
        "fixed_gausswidth",
        "element_hidden_layers_electrostatic",
        "element_nodes_electrostatic",
        "element_activation_electrostatic",
    }
)
CHARGES = CHARGES_REPEATABLE | {
    "screen_electrostatics",
    "four_pi_epsilon",
    "global_hidden_layers_electrostatic",
    "global_nodes_electrostatic",
    "global_activation_electrostatic",
}
CHARGES_IGNORED = frozenset({"ewald_truncation_error_method", "initial_hardness", "use_electrostatics"})
_OWN_FUNCTIONS = "functions of their own for the charges are not supported; n2p2 has one set for both networks"
CHARGES_REFUSED = {
    **dict.fromkeys(
        (
            "symfunction_electrostatic",
            "symfunction_elec",
            "element_symfunction_electrostatic",
            "global_symfunction_electrostatic",
            "global_symfunction_elec",
            "scale_min_elec",
            "scale_max_elec",
        ),
        _OWN_FUNCTIONS,
    ),
    "fixed_charge": "fixed charges and those of networks exclude each other",
}
IGNORED = frozenset((_TRAINING + _RUNNER + _IDLE).split())

_CHARGES = "it belongs to fourth-generation potentials (charges); if this is one, state nnp_type 4"
REFUSED = {
    "fixed_gausswidth": _CHARGES,
    "use_gausswidth": _CHARGES,
    "screen_electrostatics": _CHARGES,
    "ewald_truncation_error_method": _CHARGES,
    "four_pi_epsilon": _CHARGES,
    "initial_hardness": _CHARGES,
    "use_electrostatics": "potentials with electrostatics are not supported yet",
    "use_electrostatic_nn": "potentials with electrostatics are not supported yet",
    "use_fixed_charges": "potentials with fixed charges are not supported",
    "use_vdw": "dispersion terms (van der Waals) are not supported",
    "nn_type": "RuNNer and n2p2 mean different things by it; write nnp_type 2 for second generation",
    "scale_min_short_atomic": "write scale_min_short instead",
    "scale_max_short_atomic": "write scale_max_short instead",
    "global_nodes_short_atomic": "write global_nodes_short instead",
    "global_hidden_layers_short_atomic": "write global_hidden_layers_short instead",
    "global_activation_short_atomic": "write global_activation_short instead",
    "global_output_nodes_short": "it is obsolete, a network has one output; delete the line",
    "global_output_nodes_short_atomic": "it is obsolete, a network has one output; delete the line",
}

# Keywords that only RuNNer 2 has; it also has `fc_cosine` and other cutoff functions, `fc_...`.
_RUNNER_2 = frozenset(
    {
        "feature_map_default",
        "default_nodes",
        "default_activation_nn",
        "scale_feature_maps",
        "center_feature_maps",
        "scale_feature_maps_range",
        "model_type_short",
        "num_committee_members",
    }
)


def is_runner_2(keyword: str) -> bool:
    """Whether the keyword shows that the file is of RuNNer 2, which writes symmetry functions differently."""
    return keyword.startswith("fc_") or keyword in _RUNNER_2


def refusal(keyword: str) -> str:
    """Why a keyword that is neither in MODEL nor IGNORED cannot be read, and what to do about it."""
    if keyword in REFUSED:
        return f"keyword {keyword!r} changes the model: {REFUSED[keyword]}"
    known = MODEL | IGNORED | set(ALIASES)
    near = difflib.get_close_matches(keyword.lower(), known, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return (
        f"unknown keyword {keyword!r}{hint} (it may change the model; if it does not, delete the line or put "
        "# before "
        "it)"
    )
